"""A Bundle as a model of MLflow's python_function: what ``mlflow.pyfunc.load_model`` opens and asks; it knows no run.

MLflow finds :func:`_load_pyfunc` by the name that the file ``MLmodel`` beside the Bundle's files has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yanmo.artifacts.bundle import Bundle
from yanmo.runtimes.predictor import Predictor, open_bundle
from yanmo.text.inputs import Inputs

__all__ = ["AskedBundle"]


class AskedBundle:
    """An open Bundle that is asked with tables.

    Args:
        predictor: Who answers.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002 - as MLflow calls it
        """Return a table of predictions and probabilities.

        Args:
            model_input: A table with the columns that the task reads, or texts.
            params: Not used.
        """
        import pandas as pd

        names = self._predictor.task.inputs
        if isinstance(model_input, pd.DataFrame):
            # A table of one column is texts, whatever that is called.
            columns = [model_input.iloc[:, 0]] if len(names) == 1 else [model_input[name] for name in names]
            texts = [tuple(row) if len(names) > 1 else row[0] for row in zip(*columns, strict=True)]
        else:
            texts = list(model_input)
        inputs = Inputs.of_items(texts, len(names))
        decided = self._predictor.answer(self._predictor.encode(inputs)).decided
        return pd.DataFrame({"prediction": list(decided.predictions), "probability": decided.probability_N})


def _load_pyfunc(path: str) -> AskedBundle:
    """Return the model of a folder, which stays open as long as its process."""
    return AskedBundle(open_bundle(Bundle.open(Path(path))))
