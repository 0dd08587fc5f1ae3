"""Pre-training of an encoder from plain texts: vocabulary, corpus on disk, loop; it knows no artifact.

It runs in the one training loop, whose scores, loss and measure are those of reading, so it resumes as training does.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor

from yanmo.errors import ConfigError, DataError
from yanmo.modeling import encoders
from yanmo.modeling.corpus import Corpus, CorpusFeatures, CorpusWriter, open_corpus, split_corpus
from yanmo.modeling.determinism import default_device, repeatable
from yanmo.modeling.features import Examples
from yanmo.modeling.loop import METRICS, Trainer, fit
from yanmo.modeling.masking import Masking
from yanmo.modeling.pretrainees import COLUMNS, Pretrainee, loss_of, make_pretrainee, measure_scores
from yanmo.modeling.settings import LoopSettings, ReadingSettings, Trained
from yanmo.models import ModelSpec
from yanmo.protocols import FloatArray
from yanmo.text.tokenizer import train_wordlevel, train_wordpiece
from yanmo.text.words import encode_documents, whole

__all__ = ["pretrain_network"]

logger = logging.getLogger(__name__)

VOCABULARY_CHARACTERS = 50_000_000
"""The vocabulary is trained from a sample of the texts of about this size."""

Blocks = Callable[[], Iterator[list[str]]]


@dataclass(frozen=True)
class Reader:
    """A tokenizer with what pre-training needs to know of it.

    Attributes:
        wrapped: As Hugging Face folders hold it.
        special: The tokens before and after every row.
    """

    wrapped: Any
    special: tuple[list[int], list[int]]

    @property
    def backend(self) -> Tokenizer:
        """The tokenizer itself."""
        tokenizer: Tokenizer = self.wrapped.backend_tokenizer
        return tokenizer


class Meter:
    """Counts what was read since it was last asked; the loop asks with every record of the loss."""

    def __init__(self) -> None:
        self._sums, self._since = np.zeros(COLUMNS + 1), time.perf_counter()

    def add(self, scores_BS: Tensor) -> None:
        """Count a batch."""
        sums = scores_BS.detach().sum(dim=0).cpu().numpy()
        self._sums += sums[[0, 1, 2, -1]]

    def take(self) -> dict[str, float]:
        """Return the masked accuracy and the tokens a second, and begin again."""
        _, right, count, tokens = self._sums
        seconds = time.perf_counter() - self._since
        self._sums, self._since = np.zeros(COLUMNS + 1), time.perf_counter()
        return {"train_masked_accuracy": right / max(count, 1), "tokens_per_second": round(tokens / seconds, 1)}


def pretrain_network(
    spec: ModelSpec,
    blocks: Blocks,
    *,
    reading: ReadingSettings,
    loop: LoopSettings,
    work_dir: Path,
    run_key: str,
) -> Trained:
    """Let an encoder learn to read.

    Args:
        spec: A shape of an encoder, or a checkpoint to go on from.
        blocks: Yields cleaned documents, the same ones in every call, in lists that fit into memory.
        reading: What it learns from them.
        loop: How it is trained.
        work_dir: Where the corpus, the checkpoint and ``metrics.jsonl`` are kept; a run of the same key is continued.
        run_key: Names the work.

    Raises:
        ModelError: A checkpoint cannot be used, or the loss is not a finite number.
        ConfigError: A setting does not suit the model.
        DataError: There is too little text.
    """
    with repeatable(loop.seed, num_threads=loop.num_threads):
        reader = _open_reader(spec, blocks, reading, work_dir, run_key)
        corpus = _make_corpus(reader, blocks, reading, work_dir, run_key)
        pretrainee = _make_network(spec, reader, reading, loop.seed)
        pad_id = int(reader.wrapped.pad_token_id)
        train, valid = (_examples(one) for one in split_corpus(corpus, pad_id=pad_id, seed=loop.seed))
        trainer = _make_trainer(pretrainee, loop, work_dir, run_key)
        scores = fit(trainer, train, valid)
    pretrainee.module.to("cpu")

    def save(folder: Path) -> None:
        encoders.save(folder, pretrainee.encoder, reader.wrapped)
        shutil.copyfile(work_dir / METRICS, folder / METRICS)

    architecture = {"family": "encoder", "pad_id": pad_id, "facts": corpus.facts}
    return Trained(save, scores, architecture, reading.max_length, trainer.position.precision)


def _make_trainer(pretrainee: Pretrainee, loop: LoopSettings, work_dir: Path, run_key: str) -> Trainer:
    meter = Meter()

    def loss(scores_BS: Tensor, _: Tensor) -> Tensor:
        meter.add(scores_BS)
        return loss_of(scores_BS, pretrainee.weights)

    def measure(scores_NS: FloatArray, _: FloatArray) -> dict[str, float]:
        measured = measure_scores(scores_NS)
        losses = [value for name, value in measured.items() if name.endswith("loss")]
        total = sum(weight * value for weight, value in zip(pretrainee.weights, losses, strict=True))
        return {**measured, "loss": float(total)}

    return Trainer(
        pretrainee.module,
        pretrainee.score,
        loss=loss,
        measure=measure,
        settings=dataclasses.replace(loop, device=default_device(), metric="loss"),
        work_dir=work_dir,
        run_key=run_key,
        facts=meter.take,
    )


def _examples(features: CorpusFeatures) -> Examples:
    return Examples(features, np.zeros((len(features.chosen_N), 1), dtype=np.float32))


def _open_reader(spec: ModelSpec, blocks: Blocks, reading: ReadingSettings, folder: Path, run_key: str) -> Reader:
    """Return the checkpoint's tokenizer, or one that is trained from the texts, once for all runs of the same key."""
    if spec.family == "pretrained":
        wrapped = encoders.load_tokenizer(spec.source, offline=reading.offline)
        if wrapped.mask_token_id is None:
            raise ConfigError(
                f"The tokenizer of {spec.name} has no mask token, so the model cannot guess hidden tokens.",
                hint="Give a checkpoint of the BERT kind, or a shape such as bert-4x312.",
            )
        return Reader(wrapped, _special(wrapped.backend_tokenizer))
    path = folder / f"tokenizer-{run_key[:16]}.json"
    if path.is_file():
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.encode_special_tokens = True
    else:
        train = train_wordlevel if reading.is_segmented else train_wordpiece
        tokenizer = train(_sample(blocks), reading.vocab_size)
        tokenizer.save(str(path.with_suffix(".partial")))
        path.with_suffix(".partial").replace(path)
    return Reader(encoders.wrap_tokenizer(tokenizer, max_length=reading.max_length), _special(tokenizer))


def _special(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the tokens that the tokenizer puts before and after a text."""
    ids = whole(tokenizer).encode("").ids
    return ids[:1], ids[1:]


def _sample(blocks: Blocks) -> list[str]:
    """Return every k-th document, so that they have about so many characters as a vocabulary needs."""
    total = sum(len(text) for block in blocks() for text in block)
    step = max(1, round(total / VOCABULARY_CHARACTERS))
    if step > 1:
        logger.info("The vocabulary is trained from every %dth of the documents.", step)
    documents = (text for block in blocks() for text in block)
    return [text for place, text in enumerate(documents) if place % step == 0]


def _make_corpus(reader: Reader, blocks: Blocks, reading: ReadingSettings, folder: Path, run_key: str) -> Corpus:
    """Return the tokens of all documents, written once for all runs of the same key.

    Raises:
        DataError: There are fewer than two rows.
    """
    place = folder / "corpus"
    found = open_corpus(place, run_key)
    if found is None:
        tokenizer = whole(reader.backend)
        length, packing = reading.max_length, reading.packing
        with CorpusWriter(place, special=reader.special, max_length=length, packing=packing, run_key=run_key) as writer:
            for block in blocks():
                writer.add(encode_documents(tokenizer, block, whole_words=reading.whole_words))
        found = open_corpus(place, run_key)
    if found is None or len(found.rows) < 2:
        raise DataError(
            "There is too little text to learn from: it makes fewer than two rows.",
            hint="Give more text; --packing documents makes a row of every document.",
        )
    logger.info("%(num_tokens)d tokens of %(num_documents)d documents in %(num_rows)d rows", found.facts)
    return found


def _make_network(spec: ModelSpec, reader: Reader, reading: ReadingSettings, seed: int) -> Pretrainee:
    wrapped = reader.wrapped
    masking = Masking(
        ratio=reading.mask_ratio,
        mask_id=int(wrapped.mask_token_id),
        num_ids=reader.backend.get_vocab_size(),
        special_ids=tuple(wrapped.all_special_ids),
        keeps_some=reading.keeps_some,
    )
    pretrainee = make_pretrainee(
        spec,
        reader.backend,
        objective=reading.objective,
        masking=masking,
        max_length=reading.max_length,
        dropout=reading.dropout,
        seed=seed,
        offline=reading.offline,
    )
    limit = encoders.max_positions(pretrainee.encoder)
    if limit is not None and reading.max_length > limit:
        raise ConfigError(
            f"The 'max_length' parameter of pretrain must be at most {limit} for {spec.name}. "
            f"Got {reading.max_length} instead."
        )
    return pretrainee
