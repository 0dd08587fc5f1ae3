"""Training of a language model of n-grams: counting; it knows no artifact and no torch."""

from __future__ import annotations

import json
from pathlib import Path

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.modeling.settings import LabeledTexts, LanguageSettings, MeasureAnswers, Teaching, Trained
from yanmo.text.language_tokens import LanguageTokenizer
from yanmo.text.ngram_language_model import fit_ngram_language_model

__all__ = ["train_kneser_ney"]


def train_kneser_ney(
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    language: LanguageSettings,
    measure: MeasureAnswers,
    teaching: Teaching | None = None,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Count n-grams and measure them on the validation split, which is the only record of the training.

    Prompts are counted, too: what is given in one row may be what another one continues. A teacher gives its tokenizer,
    so that both say how likely the same tokens are.
    """
    teacher_dir = teaching.teacher_dir if teaching is not None else None
    end = None if teacher_dir is None else Bundle.open(teacher_dir, verify=False).architecture.get("end")
    model = fit_ngram_language_model(
        train.texts.first,
        tokenization=language.tokenization,
        order=language.order,
        vocab_size=language.vocab_size or 0,
        tokenizer=LanguageTokenizer.open(teacher_dir / "tokenizer.json", end=end) if teacher_dir is not None else None,
    )
    evidence, _ = model.score(valid.texts.first)
    scores = measure(evidence, valid.targets)
    record = {"step": 1, "epoch": 0, **{f"valid_{name}": score for name, score in scores.items()}}
    tell(record)

    def save(folder: Path) -> None:
        model.save(folder)
        (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")

    num_ngrams = [len(level.keys_K) for level in model.model.levels]
    told = {"family": "kneser-ney", "order": model.order, "num_ngrams": num_ngrams} | ({"end": end} if end else {})
    return Trained(save, scores, told, 0)
