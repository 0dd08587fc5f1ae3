"""Pre-training of a network that reads from left to right, from plain texts: the next token of every one is learned.

It runs in the one training loop, and its corpus is that of encoders, so there may be more texts than memory holds. It
knows no artifact.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from yanmo.arrays import FloatArray, IntArray
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import ConfigError, ModelError
from yanmo.modeling.arithmetic.determinism import default_device, repeatable
from yanmo.modeling.features.corpus import CorpusRows, split_corpus
from yanmo.modeling.features.ragged import Examples, Targets
from yanmo.modeling.language import decoders
from yanmo.modeling.language.next_token_rows import NextTokenRows
from yanmo.modeling.language.vocabularies import choose_tokenization, train_vocabulary
from yanmo.modeling.loop.training_loop import METRICS, Trainer, fit
from yanmo.modeling.networks import encoders
from yanmo.modeling.objectives.masked_tokens import QuestionCounts
from yanmo.modeling.objectives.token_losses import LOSS, TOKENS, TokenLosses
from yanmo.modeling.parallel import workers
from yanmo.modeling.pretrained.checkpoint_tokenizer import check_fits, load_tokenizer
from yanmo.modeling.pretrained.hub import find_folder
from yanmo.modeling.runs.corpus_making import Blocks, CorpusReader, make_corpus, sample_documents, wait_for_corpus
from yanmo.modeling.settings import LoopSettings, ReadingSettings, Trained
from yanmo.models import ModelSpec
from yanmo.text.language_tokens import END, LanguageTokenizer

__all__ = ["pretrain_next_tokens"]


@dataclasses.dataclass(frozen=True)
class MeanTokenLoss(TokenLosses):
    """The objective of rows of which nothing but the loss is measured."""

    num_passes: int = 1

    def measure(self, outputs_NS: FloatArray, targets: Targets) -> dict[str, float]:  # noqa: ARG002 - one signature
        """Return the mean loss of a token in nats."""
        sums = outputs_NS.sum(axis=0, dtype=np.float64)
        return {"loss": float(sums[LOSS] / max(sums[TOKENS], 1))}


def pretrain_next_tokens(
    spec: ModelSpec,
    blocks: Blocks,
    *,
    reading: ReadingSettings,
    loop: LoopSettings,
    work_dir: Path,
    run_key: str,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Let a network learn what comes next in texts.

    Args:
        spec: A shape of a decoder, or a checkpoint to go on from.
        blocks: Yields cleaned documents, the same ones in every call, in lists that fit into memory.
        reading: What it learns from them.
        loop: How it is trained.
        work_dir: Where the corpus, the checkpoint and ``metrics.jsonl`` are kept; a run of the same key is continued.
        run_key: Names the work.
        tell: Is shown every record of the training.

    Raises:
        ModelError: A checkpoint cannot be used, or the loss is not a finite number.
        ConfigError: A setting does not suit the model.
        DataError: There is too little text.
    """
    with repeatable(loop.seed, num_threads=loop.num_threads):
        wait_for_corpus(work_dir, run_key)
        module, wrapped, end_id = _begin(spec, blocks, reading, work_dir, run_key)
        # One token more than is read: the last one of a row is only predicted.
        longer = dataclasses.replace(reading, max_length=reading.max_length + 1)
        corpus = make_corpus(CorpusReader(wrapped, ([end_id], [end_id])), blocks, longer, work_dir, run_key)
        workers.join()
        make = functools.partial(_examples, full_length=longer.max_length, end_id=end_id)
        learned, held = (make(one) for one in split_corpus(corpus, seed=loop.seed))
        trainer = Trainer(
            module,
            decoders.score_rows,
            objective=MeanTokenLoss(),
            settings=dataclasses.replace(loop, device=default_device(), metric="loss"),
            work_dir=work_dir,
            run_key=run_key,
            tell=tell,
        )
        scores = fit(trainer, _drawn(learned), held)
    module.to("cpu")

    def save(folder: Path) -> None:
        encoders.save(folder, module, wrapped)
        shutil.copyfile(work_dir / METRICS, folder / METRICS)

    architecture = {"family": "decoder", "pad_id": end_id, "end": wrapped.eos_token, "facts": corpus.facts}
    return Trained(save, scores, architecture, reading.max_length, trainer.position.precision)


def _examples(rows: CorpusRows, *, full_length: int, end_id: int) -> Examples:
    ones = QuestionCounts(np.ones(1, dtype=np.float32), len(rows.chosen_N))
    return Examples(NextTokenRows(rows, full_length, end_id), ones)


def _drawn(examples: Examples) -> Examples:
    """Return rows to learn from; a batch's loss is a mean over its tokens."""
    rows: Any = examples.features

    def draw(epoch: int, rows_S: IntArray) -> Examples:  # noqa: ARG001 - the same rows in every epoch
        counted = np.array([max(rows.num_counted_N[rows_S].mean(), 1)], dtype=np.float32)
        return Examples(rows, QuestionCounts(counted, len(rows.lengths_N)))

    return dataclasses.replace(examples, drawn=draw)


def _begin(
    spec: ModelSpec, blocks: Blocks, reading: ReadingSettings, folder: Path, run_key: str
) -> tuple[nn.Module, PreTrainedTokenizerFast, int]:
    """Return a network with its tokenizer and the token that begins texts and ends them."""
    if spec.family == "pretrained":
        return _begin_with_checkpoint(spec, reading)
    path = folder / f"tokenizer-{run_key[:16]}.json"
    # The texts are read for nothing where a run that was killed has made the vocabulary.
    texts = [] if path.is_file() else sample_documents(blocks)
    backend = train_vocabulary(path, texts, choose_tokenization(texts), vocab_size=reading.vocab_size)
    wrapped: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, model_max_length=reading.max_length, bos_token=END, eos_token=END, pad_token=END
    )
    tokenizer = LanguageTokenizer.of(wrapped.backend_tokenizer, name=spec.name, end=END)
    shape = {"vocab_size": tokenizer.vocab_size, "end_id": tokenizer.end_id, "max_length": reading.max_length}
    return decoders.build_decoder(spec, **shape, dropout=reading.dropout), wrapped, tokenizer.end_id


def _begin_with_checkpoint(spec: ModelSpec, reading: ReadingSettings) -> tuple[nn.Module, PreTrainedTokenizerFast, int]:
    folder = find_folder(spec, offline=reading.offline)
    wrapped = load_tokenizer(folder)
    tokenizer = LanguageTokenizer.of(wrapped.backend_tokenizer, name=spec.name, end=wrapped.eos_token)
    module: Any = decoders.load_decoder(folder)
    _check_sees_no_future(module, spec.name)
    check_fits(tokenizer.backend, module.get_input_embeddings().num_embeddings, spec.name)
    limit = encoders.max_positions(module)
    if limit is not None and reading.max_length > limit:
        raise ConfigError(
            f"The 'max_length' parameter of pretrain must be at most {limit} for {spec.name}. "
            f"Got {reading.max_length} instead."
        )
    return module, wrapped, tokenizer.end_id


def _check_sees_no_future(module: nn.Module, name: str) -> None:
    """Refuse a network in which what is guessed depends on what follows, as in an encoder with a head for tokens."""
    rows_2T = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]])
    with torch.no_grad():
        logits_2TV = module.eval()(input_ids=rows_2T).logits[:, :-1]
    if not torch.allclose(logits_2TV[0], logits_2TV[1], atol=1e-5):
        raise ModelError(
            f"{name} sees the tokens that it is to guess: it is an encoder, and no language model.",
            hint="Give a checkpoint of GPT-2, Llama or the like; an encoder learns by --objective mlm.",
        )
