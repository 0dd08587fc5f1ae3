"""Pre-training of a model that writes from plain texts: spans are cut out, and it writes them; it knows no artifact.

It runs in the one training loop, and its corpus is that of encoders.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from transformers import PreTrainedTokenizerFast

from yanmo.arrays import IntArray
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import ConfigError
from yanmo.modeling.arithmetic.determinism import default_device, repeatable
from yanmo.modeling.features.corpus import CorpusRows, split_corpus
from yanmo.modeling.features.ragged import Examples
from yanmo.modeling.language.encoder_decoders import build_encoder_decoder, load_encoder_decoder, score_pairs
from yanmo.modeling.language.spans import CutOutRows
from yanmo.modeling.language.vocabularies import choose_tokenization, train_vocabulary
from yanmo.modeling.loop.training_loop import METRICS, Trainer, fit
from yanmo.modeling.networks import encoders
from yanmo.modeling.objectives.masked_tokens import QuestionCounts
from yanmo.modeling.objectives.target_tokens import TargetTokens
from yanmo.modeling.parallel import workers
from yanmo.modeling.pretrained.checkpoint_tokenizer import check_fits, load_tokenizer
from yanmo.modeling.pretrained.hub import find_folder
from yanmo.modeling.runs.corpus_making import Blocks, CorpusReader, make_corpus, sample_documents, wait_for_corpus
from yanmo.modeling.settings import LoopSettings, ReadingSettings, Trained
from yanmo.models import ModelSpec
from yanmo.text.language_tokens import END
from yanmo.text.pair_tokens import PAD, PairTokenizer

__all__ = ["pretrain_spans"]

NUM_SENTINELS = 100
SENTINEL = "<extra_id_{}>"
"""As T5 has them."""
HEADLINE = "exact_spans"


@dataclass(frozen=True)
class SpanReader:
    """A tokenizer with the marks that stand for spans.

    Attributes:
        wrapped: As Hugging Face folders hold it.
        pairs: The same, ready to cut texts.
        sentinels: Of each mark its id.
    """

    wrapped: PreTrainedTokenizerFast
    pairs: PairTokenizer
    sentinels: list[int]


def pretrain_spans(
    spec: ModelSpec,
    blocks: Blocks,
    *,
    reading: ReadingSettings,
    loop: LoopSettings,
    work_dir: Path,
    run_key: str,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Let a model learn to write what was cut out of texts.

    Args:
        spec: A shape of an encoder with a decoder, or a checkpoint to go on from.
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
        reader, module = _begin(spec, blocks, reading, work_dir, run_key)
        marks = reader.pairs.marks
        corpus_reader = CorpusReader(reader.wrapped, (marks.before, marks.behind))
        corpus = make_corpus(corpus_reader, blocks, reading, work_dir, run_key)
        workers.join()
        learned, held = split_corpus(corpus, seed=loop.seed)
        trainer = Trainer(
            module,
            score_pairs,
            objective=TargetTokens(HEADLINE),
            settings=dataclasses.replace(loop, device=default_device(), metric="loss"),
            work_dir=work_dir,
            run_key=run_key,
            tell=tell,
        )
        scores = fit(trainer, _learned(reader, learned, reading, loop.seed), _held(reader, held, reading, loop.seed))
    module.to("cpu")

    def save(folder: Path) -> None:
        encoders.save(folder, module, reader.wrapped)
        shutil.copyfile(work_dir / METRICS, folder / METRICS)

    architecture = {
        "family": "encoder-decoder",
        "end": reader.wrapped.eos_token,
        "marks": msgspec.to_builtins(marks),
        "facts": corpus.facts,
    }
    return Trained(save, scores, architecture, reading.max_length, trainer.position.precision)


def _rows(reader: SpanReader, rows: CorpusRows, reading: ReadingSettings, seed: int, number: int) -> CutOutRows:
    """Return rows with spans cut out: other ones in every pass, of which 0 is that of all evaluations."""
    return CutOutRows(rows, reading.mask_ratio, reader.sentinels, reader.pairs.marks, (seed, number))


def _learned(reader: SpanReader, rows: CorpusRows, reading: ReadingSettings, seed: int) -> Examples:
    """Return rows to learn from; a batch's loss is a mean over the tokens that are to be written."""

    def draw(epoch: int, rows_S: IntArray) -> Examples:
        features = _rows(reader, rows, reading, seed, epoch + 1)
        written = np.array([features.count_written(rows_S) / len(rows_S)], dtype=np.float32)
        return Examples(features, QuestionCounts(written, len(rows.chosen_N)))

    return dataclasses.replace(_held(reader, rows, reading, seed), drawn=draw)


def _held(reader: SpanReader, rows: CorpusRows, reading: ReadingSettings, seed: int) -> Examples:
    ones = QuestionCounts(np.ones(1, dtype=np.float32), len(rows.chosen_N))
    return Examples(_rows(reader, rows, reading, seed, 0), ones)


def _begin(
    spec: ModelSpec, blocks: Blocks, reading: ReadingSettings, folder: Path, run_key: str
) -> tuple[SpanReader, Any]:
    if spec.family == "pretrained":
        return _begin_with_checkpoint(spec, reading)
    texts = sample_documents(blocks)
    backend = train_vocabulary(
        folder / f"tokenizer-{run_key[:16]}.json", texts, choose_tokenization(texts), vocab_size=reading.vocab_size
    )
    backend.add_special_tokens([PAD, *map(SENTINEL.format, range(NUM_SENTINELS))])
    wrapped: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, model_max_length=reading.max_length, eos_token=END, pad_token=PAD
    )
    pairs = PairTokenizer.of(wrapped.backend_tokenizer, name=spec.name, pad=PAD, end=END, begin_id=None)
    module = build_encoder_decoder(
        spec,
        vocab_size=pairs.language.vocab_size,
        pad_id=pairs.pad_id,
        end_id=pairs.marks.end_id,
        dropout=reading.dropout,
    )
    return SpanReader(wrapped, pairs, _sentinels(pairs, spec)), module


def _begin_with_checkpoint(spec: ModelSpec, reading: ReadingSettings) -> tuple[SpanReader, Any]:
    folder = find_folder(spec, offline=reading.offline)
    module: Any = load_encoder_decoder(folder)
    wrapped = load_tokenizer(folder)
    begin_id = module.config.decoder_start_token_id
    pairs = PairTokenizer.of(
        wrapped.backend_tokenizer, name=spec.name, pad=wrapped.pad_token, end=wrapped.eos_token, begin_id=begin_id
    )
    check_fits(pairs.language.backend, module.get_input_embeddings().num_embeddings, spec.name)
    return SpanReader(wrapped, pairs, _sentinels(pairs, spec)), module


def _sentinels(pairs: PairTokenizer, spec: ModelSpec) -> list[int]:
    found = [pairs.language.backend.token_to_id(SENTINEL.format(place)) for place in range(NUM_SENTINELS)]
    known = [one for one in found if one is not None]
    if len(known) < 2:
        raise ConfigError(
            f"The tokenizer of {spec.name} has no marks for spans, such as {SENTINEL.format(0)}.",
            hint="Give T5 or mT5, or a shape such as t5-4x256.",
        )
    return known
