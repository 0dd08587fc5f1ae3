"""Pre-training of an encoder from plain texts: vocabulary, corpus on disk, loop; it knows no artifact.

It runs in the one training loop, whose scores, loss and measure are those of reading, so it resumes as training does.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from yanmo.arrays import IntArray, Ragged
from yanmo.artifacts import durable
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import ConfigError
from yanmo.modeling.arithmetic.determinism import default_device, repeatable
from yanmo.modeling.features.corpus import CorpusRows, split_corpus
from yanmo.modeling.features.masking import MaskedRows, Masking
from yanmo.modeling.features.ragged import Examples
from yanmo.modeling.loop.training_loop import METRICS, Trainer, fit
from yanmo.modeling.networks import encoders
from yanmo.modeling.networks.embeddings import begin_with, ppmi_embeddings, sinusoidal_positions
from yanmo.modeling.networks.pretraining_networks import Pretrainee, make_pretrainee
from yanmo.modeling.objectives.masked_tokens import MaskedTokens, QuestionCounts
from yanmo.modeling.parallel import workers
from yanmo.modeling.pretrained.checkpoint_tokenizer import check_fits, load_tokenizer, wrap_tokenizer
from yanmo.modeling.pretrained.hub import find_folder
from yanmo.modeling.runs.corpus_making import Blocks, CorpusReader, make_corpus, sample_documents, wait_for_corpus
from yanmo.modeling.settings import LoopSettings, ReadingSettings, Trained
from yanmo.models import ModelSpec
from yanmo.text.tokenizer import train_wordlevel, train_wordpiece
from yanmo.text.words import untruncated

__all__ = ["pretrain_network"]

logger = logging.getLogger(__name__)

EMBEDDING_TOKENS = 20_000_000
"""The embeddings begin with what the first so many tokens tell."""


def pretrain_network(
    spec: ModelSpec,
    blocks: Blocks,
    *,
    reading: ReadingSettings,
    loop: LoopSettings,
    work_dir: Path,
    run_key: str,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Let an encoder learn to read.

    Args:
        spec: A shape of an encoder, or a checkpoint to go on from.
        blocks: Yields cleaned documents, the same ones in every call, in lists that fit into memory.
        reading: What it learns from them.
        loop: How it is trained.
        work_dir: Where the corpus, the checkpoint and ``metrics.jsonl`` are kept; a run of the same key is continued.
            Of several workers the first one makes the corpus.
        run_key: Names the work.
        tell: Is shown every record of the training.

    Raises:
        ModelError: A checkpoint cannot be used, or the loss is not a finite number.
        ConfigError: A setting does not suit the model.
        DataError: There is too little text.
    """
    with repeatable(loop.seed, num_threads=loop.num_threads):
        wait_for_corpus(work_dir, run_key)
        reader = _open_reader(spec, blocks, reading, work_dir, run_key)
        pretrainee = _make_network(spec, reader, reading)  # it refuses what does not suit it before the texts are read
        corpus = make_corpus(reader, blocks, reading, work_dir, run_key)
        workers.join()
        mask = _masker(reader, reading, loop.seed)
        learned, held = split_corpus(corpus, seed=loop.seed)
        if spec.family != "pretrained":
            _start_embeddings(pretrainee.encoder, learned)
        trainer = _make_trainer(pretrainee, loop, work_dir, run_key, tell)
        scores = fit(trainer, _make_examples(mask, learned, len(pretrainee.weights)), _unlabeled(mask(held, 0)))
    pretrainee.module.to("cpu")

    def save(folder: Path) -> None:
        encoders.save(folder, pretrainee.encoder, reader.wrapped)
        shutil.copyfile(work_dir / METRICS, folder / METRICS)

    encoder: Any = pretrainee.encoder
    architecture = {
        "family": "encoder",
        "pad_id": int(reader.wrapped.pad_token_id),
        "vocab_size": int(encoder.config.vocab_size),
        "facts": corpus.facts,
    }
    return Trained(save, scores, architecture, reading.max_length, trainer.position.precision)


def _make_trainer(pretrainee: Pretrainee, loop: LoopSettings, work_dir: Path, run_key: str, tell: Watcher) -> Trainer:
    return Trainer(
        pretrainee.module,
        pretrainee.score,
        objective=MaskedTokens(pretrainee.weights),
        settings=dataclasses.replace(loop, device=default_device(), metric="loss"),
        work_dir=work_dir,
        run_key=run_key,
        tell=tell,
    )


def _masker(reader: CorpusReader, reading: ReadingSettings, seed: int) -> Callable[[CorpusRows, int], MaskedRows]:
    """Return what hides tokens of rows: other ones in every pass, of which 0 is that of all evaluations."""
    masking = Masking(
        ratio=reading.mask_ratio,
        mask_id=int(reader.wrapped.mask_token_id),
        num_ids=reader.backend.get_vocab_size(),
        special_ids=tuple(reader.wrapped.all_special_ids),
        keeps_some=reading.keeps_some,
    )
    pad_id = int(reader.wrapped.pad_token_id)
    return lambda rows, number: MaskedRows(rows, masking, (seed, number), pad_id)


def _make_examples(mask: Callable[[CorpusRows, int], MaskedRows], rows: CorpusRows, num_objectives: int) -> Examples:
    """Return rows to learn from; those of a batch are held against how many questions its rows have in the mean."""

    def draw(epoch: int, rows_S: IntArray) -> Examples:
        features = mask(rows, epoch + 1)
        # A batch in which nothing is hidden asks nothing, and is divided by this all the same.
        questions_K = np.maximum(features.count_questions(rows_S)[:num_objectives], 1) / len(rows_S)
        return Examples(features, QuestionCounts(questions_K.astype(np.float32), len(rows.chosen_N)))

    return dataclasses.replace(_unlabeled(mask(rows, 0)), drawn=draw)


def _unlabeled(features: MaskedRows) -> Examples:
    return Examples(features, QuestionCounts(np.ones(1, dtype=np.float32), len(features.lengths_N)))


def _open_reader(spec: ModelSpec, blocks: Blocks, reading: ReadingSettings, folder: Path, run_key: str) -> CorpusReader:
    """Return the checkpoint's tokenizer, or one that is trained from the texts, once for all runs of the same key."""
    if spec.family == "pretrained":
        wrapped = load_tokenizer(find_folder(spec, offline=reading.offline))
        if wrapped.mask_token_id is None:
            raise ConfigError(
                f"The tokenizer of {spec.name} has no mask token, so the model cannot guess hidden tokens.",
                hint="Give a checkpoint of the BERT kind, or a shape such as bert-4x312.",
            )
        return CorpusReader(wrapped, _special(wrapped.backend_tokenizer))
    path = folder / f"tokenizer-{run_key[:16]}.json"
    if path.is_file():
        tokenizer = Tokenizer.from_file(str(path))
        # The file does not hold this setting.
        tokenizer.encode_special_tokens = True
    else:
        train = train_wordlevel if reading.is_segmented else train_wordpiece
        tokenizer = train(sample_documents(blocks), reading.vocab_size)
        tokenizer.save(str(path.with_suffix(".partial")))
        durable.put(path.with_suffix(".partial"), path)
    return CorpusReader(wrap_tokenizer(tokenizer, max_length=reading.max_length), _special(tokenizer))


def _special(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the tokens that the tokenizer puts before and after a text."""
    ids = untruncated(tokenizer).encode("").ids
    return ids[:1], ids[1:]


def _make_network(spec: ModelSpec, reader: CorpusReader, reading: ReadingSettings) -> Pretrainee:
    pretrainee = make_pretrainee(
        spec,
        reader.backend,
        objective="rtd" if reading.objective == "rtd" else "mlm",
        max_length=reading.max_length,
        dropout=reading.dropout,
        offline=reading.offline,
    )
    encoder: Any = pretrainee.encoder
    check_fits(reader.backend, encoder.get_input_embeddings().num_embeddings, spec.name)
    limit = encoders.max_positions(encoder)
    if limit is not None and reading.max_length > limit:
        raise ConfigError(
            f"The 'max_length' parameter of pretrain must be at most {limit} for {spec.name}. "
            f"Got {reading.max_length} instead."
        )
    return pretrainee


def _start_embeddings(encoder: Any, learned: CorpusRows) -> None:
    """Let tokens begin near those that stand beside the same tokens, and places with their distances.

    With random ones the network guesses the most frequent tokens for thousands of steps before it looks at what stands
    around a hidden one.
    """
    num_rows = 1 + int(np.searchsorted(np.cumsum(learned.lengths_N), EMBEDDING_TOKENS))
    tokens = learned.take(np.arange(min(num_rows, len(learned.chosen_N))))
    ids = Ragged(tokens.ids, np.concatenate(([0], np.cumsum(tokens.lengths_B))))
    deviation = encoder.config.initializer_range
    words_VD = encoder.get_input_embeddings().weight
    places_TD = encoder.base_model.embeddings.position_embeddings.weight
    vocab_size, size = words_VD.shape
    begin_with(words_VD, ppmi_embeddings(ids, vocab_size=vocab_size, size=size, deviation=deviation))
    begin_with(places_TD, sinusoidal_positions(len(places_TD), places_TD.shape[1], deviation=deviation))
