"""A trial in the hands of whoever runs it: what it tries, what is noted about it, whether it is ours still.

It knows no training and no other trials but through Optuna's pruner.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import Trial

from yanmo.integrations.optuna_trials import HEARD, SECONDS

__all__ = ["LostTrialError", "TrialHandle", "sign_of_life", "still_ours"]

logger = logging.getLogger(__name__)


class LostTrialError(Exception):
    """A trial of ours has been begun anew by another machine, which had not heard of this one for too long."""


@contextlib.contextmanager
def still_ours() -> Iterator[None]:
    """Say so where a trial was ended by another machine."""
    try:
        yield
    except UpdateFinishedTrialError as error:
        raise LostTrialError from error


def sign_of_life() -> str:
    """Return what tells others when a machine was alive, by its own clock."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


class TrialHandle:
    """A trial that runs.

    Attributes:
        number: From 0.
        is_first: Whether it has the settings that training has by default.
        values: What it tries.
        seconds: How long it had run when it was cut off.
    """

    def __init__(self, trial: Trial, values: dict[str, Any], *, is_first: bool) -> None:
        self._trial = trial
        self.number = trial.number
        self.is_first = is_first
        self.values = values
        self.seconds: float = trial.user_attrs.get(SECONDS, 0.0)

    def note_seconds(self, seconds: float) -> None:
        """Keep how long it has run in all.

        Raises:
            LostTrialError: It is ours no more.
        """
        with still_ours():
            self._trial.set_user_attr(SECONDS, seconds)

    def note(self, name: str, value: Any) -> None:
        """Keep something about it for the other machines."""
        self._trial.set_user_attr(name, value)

    def beat(self) -> bool:
        """Give a sign of life to the other machines; return whether the next one is of any use."""
        try:
            self.note(HEARD, sign_of_life())
        except UpdateFinishedTrialError:
            return False
        except StorageInternalError:
            # Whoever trains will be told; until then the storage may have come back.
            logger.debug("The storage of the search does not answer.")
        return True

    def is_hopeless(self, score: float, step: int) -> bool:
        """Note a score after an evaluation; return whether the trial is worse than those before it at this point.

        The first trial is never hopeless: what others are compared with is trained to its end.

        Args:
            score: After the evaluation.
            step: Number of the evaluation, from 1.

        Raises:
            LostTrialError: It is ours no more.
        """
        # Without copies, whose cost would grow with every trial.
        known = self._trial.study.get_trials(deepcopy=False)[self.number].intermediate_values
        # After a kill evaluations come again, about which was decided the first time.
        if step < max(known, default=0):
            return False
        # Optuna warns of a step that is told twice.
        if step not in known:
            with still_ours():
                self._trial.report(score, step)
        return self._trial.should_prune() and not self.is_first
