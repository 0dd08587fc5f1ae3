"""Training of a language model from texts: tokenizer, rows, loop; it knows no artifact."""

from __future__ import annotations

import dataclasses
import functools
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerFast

from yanmo.arrays import IntArray
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import ConfigError
from yanmo.metrics.language import text_sizes
from yanmo.metrics.measures import Measure
from yanmo.modeling.arithmetic.determinism import default_device, repeatable
from yanmo.modeling.features.ragged import Examples
from yanmo.modeling.language import decoders
from yanmo.modeling.language.documents import DocumentRows, DocumentTokens, cut_rows, tokenize_documents
from yanmo.modeling.language.partial_learning import few_learn, merge_nothing
from yanmo.modeling.language.taught_tokens import TeacherDecoder, open_teacher, taught_score
from yanmo.modeling.language.vocabularies import choose_tokenization, train_vocabulary
from yanmo.modeling.loop.training_loop import METRICS, Trainer, fit
from yanmo.modeling.networks import encoders
from yanmo.modeling.objectives.masked_tokens import QuestionCounts
from yanmo.modeling.objectives.next_tokens import NextTokens
from yanmo.modeling.parallel import workers
from yanmo.modeling.pretrained.checkpoint_tokenizer import check_fits, load_tokenizer
from yanmo.modeling.pretrained.hub import find_folder
from yanmo.modeling.settings import LabeledTexts, LanguageSettings, LoopSettings, Pruning, Teaching, Trained
from yanmo.models import STARTED_FAMILIES, ModelSpec
from yanmo.text.language_tokens import END, LanguageTokenizer

__all__ = ["train_language_model"]

logger = logging.getLogger(__name__)

DECODER = "decoder"
DEFAULT_LENGTH = 256


@dataclass(frozen=True)
class Begun:
    """A network before its training.

    Attributes:
        module: The language.
        wrapped: Its tokenizer, as Hugging Face folders hold it.
        tokenizer: The same, ready to cut texts.
        max_length: Most tokens that it reads.
        merge: Makes the changes that were learned beside the weights a part of them.
        tokens: Of a network without some of its tokens the ids that the others had; None: all are there.
        left: What is left of a pruned network, for its manifest.
    """

    module: nn.Module
    wrapped: PreTrainedTokenizerFast
    tokenizer: LanguageTokenizer
    max_length: int
    merge: Callable[[], object] = merge_nothing
    tokens: IntArray | None = None
    left: Mapping[str, Any] = field(default_factory=dict)


def train_language_model(
    spec: ModelSpec,
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    language: LanguageSettings,
    loop: LoopSettings,
    measures: Sequence[Measure],
    work_dir: Path,
    run_key: str,
    teaching: Teaching | None = None,
    pruning: Pruning | None = None,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Train a network that predicts the next token; the weights with the best ``loop.metric`` are kept.

    Args:
        spec: A shape of a decoder, or a checkpoint to go on from.
        train: Texts to learn from, which a vocabulary is made of.
        valid: Texts that choose the best weights.
        loop: How it is trained.
        language: What decides the network and its tokenizer.
        measures: What the held-out texts are measured by.
        work_dir: Where the checkpoint and ``metrics.jsonl`` are kept; a run of the same key is continued.
        run_key: Names the work.
        teaching: How much is learned of what another language model says, and where that is.
        pruning: What is cut out of the checkpoint before it learns.
        tell: Is shown every record of the training.

    Raises:
        ModelError: A checkpoint cannot be used, or the loss is not a finite number.
        StoppedError: SIGTERM came; a checkpoint was written.
        ConfigError: A setting does not suit the model.
    """
    workers.join()
    loop = dataclasses.replace(loop, device=default_device())
    with repeatable(loop.seed, num_threads=loop.num_threads):
        vocabulary = work_dir / f"tokenizer-{run_key[:16]}.json"
        begun, teacher = _begin_taught(spec, train.texts.first, language, vocabulary, teaching, pruning)
        learned, held = (tokenize_documents(begun.tokenizer, one.texts.first, one.targets) for one in (train, valid))
        sizes_3 = text_sizes(valid.texts.first, valid.targets).sum(axis=0)
        trainer = Trainer(
            begun.module,
            taught_score(teacher, teaching, device=loop.device),
            objective=NextTokens(measures, sizes_3),
            settings=loop,
            work_dir=work_dir,
            run_key=run_key,
            tell=tell,
        )
        scores = fit(trainer, _learned(learned, begun.max_length, loop.seed), _held(held, begun.max_length))
    begun.module.to("cpu")
    begun.merge()
    save = functools.partial(_save, begun, work_dir)
    facts = {"family": DECODER, "pad_id": begun.tokenizer.end_id, "end": begun.wrapped.eos_token, **begun.left}
    return Trained(save, scores, facts, begun.max_length, trainer.position.precision)


def _save(begun: Begun, work_dir: Path, folder: Path) -> None:
    encoders.save(folder, begun.module, begun.wrapped)
    shutil.copyfile(work_dir / METRICS, folder / METRICS)


def _learned(documents: DocumentTokens, max_length: int, seed: int) -> Examples:
    """Return rows to learn from, cut elsewhere in every epoch; a batch's loss is a mean over its tokens."""

    @functools.lru_cache(maxsize=2)
    def cut(epoch: int) -> DocumentRows:
        return cut_rows(documents, max_length, shift=(seed, epoch))

    def draw(epoch: int, rows_S: IntArray) -> Examples:
        rows = cut(epoch)
        # A batch of prompts alone has nothing to learn, and is divided by this all the same.
        counted = max(int(rows.num_counted_R[rows_S].sum()), 1) / len(rows_S)
        return Examples(rows, QuestionCounts(np.array([counted], dtype=np.float32), len(rows.lengths_N)))

    return dataclasses.replace(_examples(cut(0)), drawn=draw)


def _held(documents: DocumentTokens, max_length: int) -> Examples:
    return _examples(cut_rows(documents, max_length))


def _examples(rows: DocumentRows) -> Examples:
    return Examples(rows, QuestionCounts(np.ones(1, dtype=np.float32), len(rows.lengths_N)))


def _begin_taught(
    spec: ModelSpec,
    texts: Sequence[str],
    language: LanguageSettings,
    vocabulary: Path,
    teaching: Teaching | None,
    pruning: Pruning | None,
) -> tuple[Begun, TeacherDecoder | None]:
    """Return a network with its teacher, if it has one; of a pruned one that is the whole."""
    if pruning is None:
        teacher = open_teacher(teaching)
        return _begin(spec, texts, _as_far_as(teacher, language), vocabulary, teacher), teacher
    begun = _without_parts(_begin_with_checkpoint(spec, language), texts, pruning)
    return begun, open_teacher(teaching, begun.tokens)


def _begin(
    spec: ModelSpec,
    texts: Sequence[str],
    language: LanguageSettings,
    vocabulary: Path,
    teacher: TeacherDecoder | None = None,
) -> Begun:
    """Return a network of a shape, or of a checkpoint, that reads what its teacher reads, if it has one.

    Args:
        spec: The model.
        texts: To make a vocabulary of.
        language: What decides the network and its tokenizer.
        vocabulary: Where that vocabulary is kept.
        teacher: Whose tokenizer is taken over instead.
    """
    if spec.family in STARTED_FAMILIES:
        begun = _begin_with_checkpoint(spec, language)
    else:
        begun = _begin_shape(spec, texts, language, vocabulary, teacher)
    if teacher is not None:
        teacher.check_student(begun.tokenizer.backend, begun.max_length, spec.name)
    return begun


def _begin_shape(
    spec: ModelSpec,
    texts: Sequence[str],
    language: LanguageSettings,
    vocabulary: Path,
    teacher: TeacherDecoder | None,
) -> Begun:
    max_length = language.max_length or DEFAULT_LENGTH
    if teacher is not None:
        wrapped, end = teacher.wrapped, teacher.wrapped.eos_token
        wrapped.model_max_length = max_length
    else:
        tokenization = choose_tokenization(texts) if language.tokenization == "auto" else language.tokenization
        backend = train_vocabulary(vocabulary, texts, tokenization, vocab_size=language.vocab_size or 0)
        wrapped, end = _wrapped(backend, max_length), END
    tokenizer = LanguageTokenizer.of(wrapped.backend_tokenizer, name=spec.name, end=end)
    module = decoders.build_decoder(
        spec,
        # Of a checkpoint that teaches, the table of tokens may be longer than its tokenizer.
        vocab_size=tokenizer.vocab_size if teacher is None else teacher.module.get_input_embeddings().num_embeddings,
        end_id=tokenizer.end_id,
        max_length=max_length,
        dropout=language.dropout or 0.0,
    )
    return Begun(module, wrapped, tokenizer, max_length)


def _wrapped(backend: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    marks = {"bos_token": END, "eos_token": END, "pad_token": END}
    found: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, model_max_length=max_length, **marks
    )
    return found


def _as_far_as(teacher: TeacherDecoder | None, language: LanguageSettings) -> LanguageSettings:
    """Return settings by which no more tokens are read than a teacher reads, unless a user gave their number."""
    if teacher is None or teacher.max_length is None or language.is_length_given:
        return language
    return dataclasses.replace(language, max_length=min(language.max_length or DEFAULT_LENGTH, teacher.max_length))


def _without_parts(begun: Begun, texts: Sequence[str], pruning: Pruning) -> Begun:
    """Return a network without the parts that matter least, in which every layer is alike."""
    # Here and not above: most trainings cut nothing out.
    from yanmo.modeling.shrinking.pruned_decoder import prune_decoder

    def cut(some: Sequence[str]) -> DocumentRows:
        first_N = np.zeros(len(some), dtype=np.int64)
        return cut_rows(tokenize_documents(begun.tokenizer, some, first_N), begun.max_length)

    pruned = prune_decoder(begun.module, begun.wrapped, texts, pruning, cut)
    tokenizer = LanguageTokenizer.of(pruned.wrapped.backend_tokenizer, name="it", end=pruned.wrapped.eos_token)
    num_parameters = sum(one.numel() for one in pruned.module.parameters())
    left = {"kept": pruned.kept, "is_stock": True, "num_parameters": num_parameters}
    return Begun(pruned.module, pruned.wrapped, tokenizer, begun.max_length, tokens=pruned.tokens, left=left)


def _begin_with_checkpoint(spec: ModelSpec, language: LanguageSettings) -> Begun:
    folder = find_folder(spec, offline=language.offline)
    wrapped = load_tokenizer(folder)
    tokenizer = LanguageTokenizer.of(wrapped.backend_tokenizer, name=spec.name, end=wrapped.eos_token)
    module: Any = decoders.load_decoder(folder, dropout=language.dropout)
    check_fits(tokenizer.backend, module.get_input_embeddings().num_embeddings, spec.name)
    wanted, limit = language.max_length or DEFAULT_LENGTH, encoders.max_positions(module)
    if limit is not None and wanted > limit:
        if language.is_length_given:
            raise ConfigError(
                f"The 'max_length' parameter of train must be at most {limit} for {spec.name}. Got {wanted} instead."
            )
        wanted = limit
    merge = few_learn(module, lora_rank=language.lora_rank, frozen_layers=language.frozen_layers)
    return Begun(module, wrapped, tokenizer, wanted, merge)
