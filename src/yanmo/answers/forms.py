"""Tables by form of evidence: the row of a form, or an error that names the forms that have one; it knows no task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from yanmo.errors import ConfigError

__all__ = ["row_of"]

RowT = TypeVar("RowT")


def row_of(table: Mapping[type[Any], RowT], form: type[Any], what: str) -> RowT:
    """Return a form's row in a table.

    Args:
        table: Form of evidence to whatever differs by it.
        form: A class of ``answers``, such as Choices.
        what: What the table is about, for the message: a method, a part of a page.

    Raises:
        ConfigError: The form has no row.
    """
    if form not in table:
        names = " and ".join(one.__name__ for one in table)
        raise ConfigError(
            f"{what} is for answers of the form {names}. Got {form.__name__} instead.",
            hint="Choose another method; docs/guides/combine-models.md says which suit all tasks.",
        )
    return table[form]
