"""Labels as lists of 0 and 1, one place a label: they are named, or refused; it knows no file format and no task."""

from __future__ import annotations

import json
import re

import polars as pl

from yanmo.data.label_columns import YES
from yanmo.data.rows import place
from yanmo.errors import DataError

__all__ = ["MultiHotReader"]

VALUE = "(?:1[.]0|0[.]0|0|1|true|false)"
NUMBERS = r"^\[?\s*\d+(?:\s*,\s*\d+)*\s*\]?$"


class MultiHotReader:
    """Tells multi-hot lists from lists of labels; it remembers where it saw either.

    Args:
        num_names: The number of places, where these have names.
        separator: Of several values in a cell that is no JSON list.
    """

    def __init__(self, num_names: int, separator: str) -> None:
        self._num_names = num_names
        sign = re.escape(separator.strip() or ",")
        self._pattern = rf"^(?:\[\s*{VALUE}(?:\s*,\s*{VALUE})+\s*\]|{VALUE}(?:\s*{sign}\s*{VALUE})+)$"
        self._seen: dict[str, str] = {}

    def read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows whose ``raw_label`` is a list of places, from 0, wherever it was multi-hot.

        Args:
            rows: ``raw_label``, and where each row stands.

        Raises:
            DataError: A list is multi-hot and its places have no names, or not as many; or the next list is not.
        """
        cells = rows["raw_label"].str.strip_chars()
        is_hot = cells.str.contains(self._pattern)
        if not is_hot.any() and not self._seen:
            return rows
        read = {
            cell: self._places(cell) for cell in cells.filter(is_hot.fill_null(value=False)).unique(maintain_order=True)
        }
        wrong = next((cell for cell, places in read.items() if isinstance(places, str)), None)
        if wrong is not None:
            raise self._refused(rows.row(int((cells == wrong).arg_true()[0]), named=True), str(read[wrong]))
        places = {cell: one for cell, one in read.items() if isinstance(one, list)}
        is_number = cells.str.contains(NUMBERS) & ~cells.is_in(list(places))
        self._remember(rows, cells.is_in(list(places)), is_number)
        texts = {cell: json.dumps(list(map(str, one))) for cell, one in places.items()}
        return rows.with_columns(cells.replace(texts).alias("raw_label"))

    def _places(self, cell: str) -> list[int] | str | None:
        """Return the places that hold, or what is wrong; None for a list of labels."""
        values = re.findall(VALUE, cell)
        holds = [value in YES for value in values]
        # Nobody gives a label twice, and a label is no fraction and no truth value.
        is_certain = len(set(holds)) < len(holds) or not set(values) <= {"0", "1"}
        if self._num_names == len(holds):
            return [number for number, one in enumerate(holds) if one]
        if not is_certain:
            return None
        return f"{len(holds)} places"

    def _remember(self, rows: pl.DataFrame, is_hot: pl.Series, is_number: pl.Series) -> None:
        if not self._num_names:
            return
        for kind, mask in (("places", is_hot), ("numbers", is_number)):
            if kind not in self._seen and mask.any():
                row = rows.row(int(mask.arg_true()[0]), named=True)
                self._seen[kind] = f"{row['raw_label']!r} ({place(row)})"
        if len(self._seen) == 2:
            raise DataError(
                f"The labels {self._seen['places']} are a multi-hot list, and {self._seen['numbers']} are not.",
                hint="Write all of them alike; lists of labels are clearer with names in place of numbers.",
            )

    def _refused(self, row: dict[str, object], found: str) -> DataError:
        where = f"The labels {row['raw_label']!r} ({place(row)})"
        if self._num_names:
            return DataError(
                f"{where} are a multi-hot list of {found}, but 'label_names' has {self._num_names} names.",
                hint="Give one name a place, in the order of the places.",
            )
        return DataError(
            f"{where} are a multi-hot list, and nothing names its {found}.",
            hint="Name the places in their order: --label-names a,b,c. A label of a list is given once.",
        )
