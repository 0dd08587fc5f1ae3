"""A network that finds answers in passages, trained elsewhere, opened as it is; it knows no artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

from yanmo.answers.links import SOFTMAX
from yanmo.errors import ModelError
from yanmo.modeling.adopted.adopted_model import Adopted, Wanted, fit_length, refuse_label_names
from yanmo.modeling.adopted.classifiers import EXAMPLES, open_whole
from yanmo.modeling.adopted.stock_units import stock_passage_scorer
from yanmo.modeling.networks import heads, unit_heads
from yanmo.modeling.networks.trainable_networks import encoder_trainable
from yanmo.modeling.pretrained.batch_invariance import check_invariance
from yanmo.modeling.settings import NetworkSettings
from yanmo.tasks.span import ANSWER, NONE
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig, TextPipeline

__all__ = ["adopt_reader"]

SCORES = ("start", "end")


def adopt_reader(folder: Path, config: Any, wanted: Wanted) -> Adopted:
    """Return the reader of passages of a folder, as a classifier of tokens with two scores, which computes the same.

    Args:
        folder: A local one.
        config: Its config.json.
        wanted: What the user says about it.

    Raises:
        ModelError: It is not whole, or its family has no classifier of tokens that could hold it.
        ConfigError: Names were given for labels that it does not have, or the length does not suit it.
    """
    refuse_label_names(wanted, "which finds answers in passages")
    reader, wrapped = open_whole(AutoModelForQuestionAnswering, folder, config, wanted.name)
    module = _as_tagger(reader, config, wanted.name)
    max_length = fit_length(folder, wrapped, module, wanted)
    settings = NetworkSettings(SCORES, SOFTMAX, max_length=max_length, offline=True, head="passages")
    trainable = encoder_trainable(module, wrapped, wrapped.backend_tokenizer, settings, max_length)
    read = TextPipeline(TextConfig(cleaning=(), units="tokens")).read(Inputs((EXAMPLES, EXAMPLES[::-1])))
    check_invariance(module, unit_heads.score_stock, trainable.encode(read), name=wanted.name)
    score = stock_passage_scorer(module, wrapped, max_length=max_length)
    return Adopted(
        "passages",
        [ANSWER, NONE],
        None,
        max_length,
        # It has learned that an answer ends with its last token, where ours look at the first one of the last unit.
        {**trainable.architecture, "reads_ends": True},
        trainable.save,
        lambda inputs, _: score(inputs),
    )


def _as_tagger(reader: Any, config: Any, name: str) -> Any:
    config.update(heads.head_config(SCORES, SOFTMAX))
    try:
        module: Any = AutoModelForTokenClassification.from_config(config)  # type: ignore[no-untyped-call]
        module.base_model.load_state_dict(reader.base_model.state_dict())
        _, layer = heads.output_layer(module)
        layer.load_state_dict(heads.output_layer(reader)[1].state_dict())
    except (ValueError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f"{name} ({type(reader).__name__}) cannot be read as a classifier of tokens: {str(error).splitlines()[0]}",
            hint="Train a model here instead, or begin with the checkpoint: yanmo train DATASET --model DIR",
        ) from error
    if hasattr(module, "head") and hasattr(reader, "head"):
        module.head.load_state_dict(reader.head.state_dict())
    module.config.pad_token_id = reader.config.pad_token_id
    return module.eval()
