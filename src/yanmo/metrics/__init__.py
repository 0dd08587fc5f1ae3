"""Measures of quality, with intervals and paired tests, in numpy alone; they know no file, no text and no model.

Everything works on three arrays of shape (N, C): the probabilities, the labels that were chosen (bool), and the
targets (1 where a label holds). Tasks with one label a row and tasks with many differ only in how labels are chosen.
"""

from yanmo.metrics.calibration import (
    CalibrationBins,
    calibration_bins,
    calibration_gaps,
    calibration_interval,
    expected_calibration_error,
)
from yanmo.metrics.paired import McNemar, mcnemar
from yanmo.metrics.ranking import RocAuc, roc_auc
from yanmo.metrics.resampling import percentile_interval, resample_sums, wilson_interval
from yanmo.metrics.scores import (
    LabelCounts,
    accuracy,
    confusion_matrix,
    label_counts,
    macro_f1,
    micro_f1,
    precision_recall_f1,
    weighted_f1,
)

__all__ = [
    "CalibrationBins",
    "LabelCounts",
    "McNemar",
    "RocAuc",
    "accuracy",
    "calibration_bins",
    "calibration_gaps",
    "calibration_interval",
    "confusion_matrix",
    "expected_calibration_error",
    "label_counts",
    "macro_f1",
    "mcnemar",
    "micro_f1",
    "percentile_interval",
    "precision_recall_f1",
    "resample_sums",
    "roc_auc",
    "weighted_f1",
    "wilson_interval",
]
