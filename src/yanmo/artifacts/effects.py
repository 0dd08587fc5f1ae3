"""What a caller wants of a call besides its result: under which key, over what may stand there, and who watches.

It is handed down as an argument and never found in the surroundings, so that a call can run in another process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["NO_EFFECTS", "Effects", "Watcher"]

Watcher = Callable[[Mapping[str, Any]], None]
"""Is shown a record of ``metrics.jsonl`` as soon as it is there; one that raises ends the training, whose checkpoint
stays."""


class Effects(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call does besides making its artifact.

    All but the watchers are plain values: those are functions of the process that asks, and whoever sends a call
    elsewhere shows them the records that come back.

    Attributes:
        key: Of the work as it was asked for, before the verb filled in what depends on the machine; None where the
            artifact's own config and parents make it.
        replace: An artifact that stands at ``out`` is no error: it is replaced when the new one is whole.
        destination: Address to which the artifact goes when it is whole; ``out`` is then a place on the way.
        watchers: See the records of every training.
        fold_watchers: See those of folds, too, which are other trainings.
    """

    key: str | None = None
    replace: bool = False
    destination: str | None = None
    watchers: tuple[Watcher, ...] = ()
    fold_watchers: tuple[Watcher, ...] = ()

    def watched(self, *watchers: Watcher, sees_folds: Sequence[Watcher] = ()) -> Effects:
        """Return the same with further watchers, and with some that see folds, too."""
        found = {"watchers": (*self.watchers, *watchers), "fold_watchers": (*self.fold_watchers, *sees_folds)}
        return msgspec.structs.replace(self, **found)

    def within(self) -> Effects:
        """Return the effects of a call that is made on the way: watchers see it; key and place are the outer one's."""
        return Effects(watchers=self.watchers, fold_watchers=self.fold_watchers)

    def in_fold(self) -> Effects:
        """Return the effects of a training that is a fold of this one."""
        return Effects(fold_watchers=self.fold_watchers)

    def tell(self, record: Mapping[str, Any]) -> None:
        """Show a record to every watcher."""
        for watcher in (*self.watchers, *self.fold_watchers):
            watcher(record)


NO_EFFECTS = Effects()
"""Nobody watches, nothing is replaced, and the artifact's own config and parents make its key."""
