"""generate: a Bundle of format decoder writes texts behind prompts; it knows no engine.

Prompts stand in files, on standard input or on the command line. They are written together, some hundreds at a time.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from yanmo.answers.sequences import Sequences
from yanmo.artifacts.base import Identity, Manifest, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.parquet import write_parquet
from yanmo.artifacts.predictions import PREDICTIONS, Predictions, predictions_frame
from yanmo.data.documents import DocumentOptions, DocumentReader
from yanmo.data.read import ReadOptions
from yanmo.data.rows import file_parents
from yanmo.data.sources import STDIN, open_stdin
from yanmo.errors import ConfigError, DataError
from yanmo.progress import bar
from yanmo.runtimes.generating.options import WritingOptions
from yanmo.runtimes.generating.writer import NUM_ROWS, Writer, Written, open_writer
from yanmo.tasks import task_of
from yanmo.verbs.signature import verb

__all__ = ["GenerateConfig", "UnsavedTexts", "generate"]

logger = logging.getLogger(__name__)

WINDOW = 256
"""Prompts whose texts are in memory at a time."""
TABLE = "texts.jsonl"
USUAL_TEXT = "prompt"


class GenerateConfig(WritingOptions, ReadOptions):
    """Where the prompts are, and how texts are written."""

    prompt: str | None = None
    """One prompt; without it and without files a text is written from its beginning."""

    text: str = USUAL_TEXT
    """Column of the prompts in tables; of a .txt file each line is one."""

    num_rows: int = Field(default=NUM_ROWS, ge=1, le=1024)
    """Texts that are written at a time."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute with; by default one for each CPU that this process may use."""


class UnsavedTexts(Predictions):
    """Texts that stand in no folder: ``path`` is None."""

    def __init__(self, manifest: Manifest, frame: pl.DataFrame) -> None:
        super().__init__(STDIN, manifest, "")
        self.path = None  # type: ignore[assignment]
        self._frame = frame

    def frame(self) -> pl.DataFrame:
        """Return the rows: ``id``, ``text``, what stood before it, and how likely its tokens were."""
        return self._frame

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints: all texts, too."""
        facts = self.manifest.info["summary"]
        return {"kind": self.kind, "path": None, "task": self.task, **facts, "texts": list(_told(self._frame))}


@verb
def generate(
    bundle: Bundle,
    config: GenerateConfig,
    *,
    prompts: tuple[Path, ...] = (),
    draft: Bundle | None = None,
    out: Path | None = None,
    effects: Effects = NO_EFFECTS,
) -> Predictions:
    """Let a language model write texts behind prompts.

    The same seed gives the same texts, whatever is written beside them and however many rows there are.

    Args:
        bundle: A Bundle of format decoder, as export and quantize make it of a language model.
        config: One prompt, or where they are, and how texts are written.
        prompts: TXT files with a prompt a line; CSV, TSV, JSONL or Parquet files; or ``-`` for standard input.
        draft: A small Bundle that cuts texts into the same tokens, of format decoder or kneser-ney: it foresees tokens
            of a text that is written alone, which with fp32 weights is the same, and faster where a token of the model
            takes several milliseconds. Beams ask no draft.
        out: Where the Predictions appear, with texts.jsonl beside them; without it the command line prints the texts.
        effects: Key and replacement of the call.

    Raises:
        ArtifactError: The Bundle is of another format.
        ConfigError: A prompt is too long, options do not go together, or nothing meets the grammar.
        DataError: A file cannot be read.
        MissingExtraError: A text is to have a form, and llguidance is not installed.
    """
    identity = Identity(
        kind=Predictions.kind,
        verb="generate",
        task=bundle.task,
        labels=bundle.labels,
        parents={
            "bundle": bundle.digest,
            **_drafted(draft),
            **file_parents({"prompts": [one for one in prompts if one != STDIN]}),
        },
        config=config.model_dump(mode="json", exclude={"json_schema"}),
        seed=config.seed or 0,
    )
    windows = enumerate(_write(bundle, prompts, config, draft))
    frame = pl.concat([_frame(bundle, *window, first=1 + place * WINDOW) for place, window in windows])
    identity.info["summary"] = _facts(frame)
    if out is None:
        return UnsavedTexts(identity.manifest(), frame)
    with publish(out, identity, effects=effects) as staging:
        write_parquet(frame, staging / PREDICTIONS)
        lines = (json.dumps(row, ensure_ascii=False) for row in _told(frame))
        (staging / TABLE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return Predictions.open(out, verify=False)


@generate.prints
def _print(
    bundle: Bundle, config: GenerateConfig, prompts: tuple[Path, ...] = (), draft: Bundle | None = None
) -> Iterator[str]:
    """Yield every text with its prompt as soon as its window is written; several are told apart by an empty line."""
    is_first = True
    for asked, written in _write(bundle, prompts, config, draft):
        for prompt, texts in zip(asked, written, strict=True):
            for one in texts:
                if not is_first:
                    yield ""
                yield prompt + one.text
                is_first = False


def _drafted(draft: Bundle | None) -> dict[str, str]:
    return {} if draft is None else {"draft": draft.digest}


def _write(
    bundle: Bundle, prompts: tuple[Path, ...], config: GenerateConfig, draft: Bundle | None
) -> Iterator[tuple[list[str], list[list[Written]]]]:
    """Yield prompts and their texts, some hundreds at a time."""
    config.check_beams()
    if draft is not None and config.num_beams > 1:
        raise ConfigError(
            "The 'draft' input of generate has no effect with beams, which need all likely tokens.",
            hint="Leave out draft, or num_beams.",
        )
    found = _find_prompts(bundle, prompts, config)
    names = set(WritingOptions.model_fields) & config.model_fields_set
    options = {name: getattr(config, name) for name in names}
    num_rows = max(config.num_rows, config.num_beams)
    opened = open_writer(bundle, num_threads=config.num_threads, num_rows=num_rows, draft=draft)
    with opened as writer, _bar(found) as progress:
        for start in range(0, len(found), WINDOW):
            window = found[start : start + WINDOW]
            yield window, _write_window(writer, window, options, progress)


def _write_window(writer: Writer, window: list[str], options: dict[str, Any], progress: Any) -> list[list[Written]]:
    written = writer.write(window, when_written=lambda: progress.update(1), **options)
    num_cut = sum(one.ending == "length" for texts in written for one in texts)
    logger.debug("%d of %d texts were cut.", num_cut, sum(map(len, written)))
    return written


def _bar(prompts: list[str]) -> Any:
    return bar(len(prompts), "writing", unit="prompt")


def _find_prompts(bundle: Bundle, prompts: tuple[Path, ...], config: GenerateConfig) -> list[str]:
    """Return the prompts of the files, of standard input or of the command line; without any, an empty one.

    Raises:
        ConfigError: They come from several places.
        DataError: A file has none.
    """
    if prompts and config.prompt is not None:
        raise ConfigError("The 'prompt' parameter of generate does not go with files of prompts.", hint="Give one.")
    if STDIN in prompts:
        if len(prompts) > 1:
            raise ConfigError("The prompts of generate must be files, or '-'. Got both.", hint="Call it once for each.")
        blocks = open_stdin(config.encoding, ("text",)).blocks()
        return [text for rows in blocks for text in rows["text"].to_list()]
    if not prompts:
        return [config.prompt or ""]
    options = DocumentOptions(**config.model_dump(include=set(ReadOptions.model_fields)))
    reader = DocumentReader(
        task_of(bundle), {"prompts": prompts}, options, text=config.text, id=None, usual_text=USUAL_TEXT
    )
    found = [text or "" for rows in reader.rows() for text in rows["text"].to_list()]
    if not found:
        raise DataError(f"{prompts[0]} has no prompt.", hint="Give a prompt a line, or a table with a column of them.")
    return found


def _frame(bundle: Bundle, prompts: list[str], written: list[list[Written]], *, first: int) -> pl.DataFrame:
    """Return rows of Predictions: what was written, how likely each token was, and after which prompt."""
    rows = [one for texts in written for one in texts]
    ends = np.cumsum([0, *(len(one.ids) for one in rows)]).astype(np.int64)
    evidence = Sequences(
        np.array([value for one in rows for value in one.log_likelihoods], np.float32),
        ends,
        np.array([place for one in rows for place in one.places], np.int64).reshape(-1, 2),
        [one.text for one in rows],
    )
    task = task_of(bundle)
    decided = task.decide(evidence, bundle.labels)
    n = len(written[0])
    ids = [
        f"{number}" if n == 1 else f"{number}-{text}"
        for number in range(first, first + len(written))
        for text in range(1, n + 1)
    ]
    frame = predictions_frame(pl.Series(ids), task.column(decided.predictions), decided, evidence)
    return frame.with_columns(
        pl.Series("prompt", [prompt for prompt in prompts for _ in range(n)]),
        pl.Series("ending", [one.ending for one in rows]),
    )


def _told(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield each text for a person: the prompt, the text, why it ended, its tokens and how likely it was in nats."""
    told = frame.select(
        "id", "prompt", "text", "ending", num_tokens=pl.col("log_likelihoods").list.len(), log_likelihood="prediction"
    )
    yield from told.iter_rows(named=True)


def _facts(frame: pl.DataFrame) -> dict[str, Any]:
    return {
        "num_rows": frame.height,
        "num_tokens": int(frame["log_likelihoods"].list.len().sum()),
        "num_cut": int((frame["ending"] == "length").sum()),
    }
