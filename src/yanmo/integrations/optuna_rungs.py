"""When a trial is given up: by successive halving, out of the curves of all trials; it knows no training."""

from __future__ import annotations

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from yanmo.integrations.optuna_trials import is_lost

__all__ = ["Rungs"]

FIRST_RUNG, REDUCTION = 2, 3


class Rungs(BasePruner):
    """Gives up a trial that is not among the best third of those that have come as far, after 2, 6, 18 … evaluations.

    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2, arXiv:1810.05934.
    Differs: a trial that was given up is not promoted later. As Optuna's SuccessiveHalvingPruner decides, but out of
    the curves alone: that one notes a rung as passed before its verdict is acted on, so a kill in between undoes it.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether a trial is given up after its last evaluation."""
        *before, step = sorted(trial.intermediate_values)
        # A lost trial is begun anew: it would be a rival of itself.
        others = [
            one.intermediate_values
            for one in study.get_trials(deepcopy=False)
            if one.number != trial.number and not is_lost(one)
        ]
        sign = 1 if study.direction is StudyDirection.MAXIMIZE else -1
        rung = FIRST_RUNG
        while rung <= step:
            # Only a rung that this evaluation has reached: about earlier ones was decided then.
            if rung > max(before, default=0):
                # Of every other trial its first score at the rung or after it.
                rivals = [curve[min(at)] for curve in others if (at := [one for one in curve if one >= rung])]
                num_better = sum(sign * one > sign * trial.intermediate_values[step] for one in rivals)
                if num_better >= max(1, (len(rivals) + 1) // REDUCTION):
                    return True
            rung *= REDUCTION
        return False
