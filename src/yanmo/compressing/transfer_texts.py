"""The texts that a teacher answers and a student learns from: labelled, unlabelled, from files, and altered copies.

They come in blocks, the same ones in every call. It knows no model but the one that alters texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.identity import folder_digest
from yanmo.artifacts.placing import MANIFEST
from yanmo.data.containers import file_kind
from yanmo.data.decode import check_file, utf8_blocks
from yanmo.data.read import ReadOptions, read_blocks
from yanmo.data.rows import file_parents
from yanmo.errors import ConfigError, DataError
from yanmo.tasks import task_of
from yanmo.text.altering import Alteration, alter

if TYPE_CHECKING:
    from yanmo.modeling.runs.infilling import Infiller

__all__ = ["Altering", "Transfer", "gather_texts"]

BLOCK = 8192
Change = Callable[[Sequence[str], np.random.Generator], list[str]]
TEACHING_SPLITS = ("train", "valid", "unlabeled")
"""The splits of another Dataset whose texts are read; its labels are not."""


@dataclass(frozen=True)
class Altering:
    """How altered copies are made.

    Attributes:
        num_copies: Altered copies of each text.
        kinds: How they are altered.
        masked_lm: The folder of a masked language model that replaces tokens in every other copy; or None.
        seed: Of every choice.
    """

    num_copies: int = 0
    kinds: tuple[Alteration, ...] = ("drop", "swap", "mix")
    masked_lm: Path | None = None
    seed: int = 1


@dataclass(frozen=True)
class Transfer:
    """The texts.

    Attributes:
        real: ``id, text[, text_b]`` of all texts that people wrote: first the training split, then the others.
        altering: How copies are made of them.
        parents: What the others come from, by digest.
    """

    real: pl.DataFrame
    altering: Altering = field(default_factory=Altering)
    parents: dict[str, str] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """The number of all texts, copies included."""
        return self.real.height * (1 + self.altering.num_copies)

    def blocks(self, first: int = 0) -> Iterator[pl.DataFrame]:
        """Yield the rows in blocks of 8,192, real ones first.

        Args:
            first: So many blocks are left out.
        """
        starts = range(0, self.real.height, BLOCK)
        places = [(copy, start) for copy in range(self.altering.num_copies + 1) for start in starts]
        infiller = None
        for copy, start in places[first:]:
            rows = self.real.slice(start, BLOCK)
            if copy and copy % 2 == 0 and self.altering.masked_lm is not None:
                # Opened for the first block that needs it: what is left of a run may need it no more.
                infiller = infiller or _open_infiller(self.altering.masked_lm)
                yield self._altered(rows, copy, start, infiller.fill)
            else:
                yield self._altered(rows, copy, start, self._alter) if copy else rows

    def _alter(self, texts: Sequence[str], generator: np.random.Generator) -> list[str]:
        return alter(texts, self.altering.kinds, generator)

    def _altered(self, rows: pl.DataFrame, copy: int, start: int, change: Change) -> pl.DataFrame:
        # Of its own for each block, so that blocks left out change nothing in those that follow.
        generator = np.random.default_rng([self.altering.seed, copy, start])
        columns = [name for name in rows.columns if name != "id"]
        return rows.with_columns(
            pl.format("altered {}:{}", pl.lit(copy), "id").alias("id"),
            *(pl.Series(name, change(rows[name].to_list(), generator)) for name in columns),
        )


def gather_texts(
    dataset: Dataset,
    sources: Sequence[Path],
    options: ReadOptions,
    column: str,
    altering: Altering,
    *,
    splits: Sequence[str] = ("train", "unlabeled"),
) -> Transfer:
    """Return the texts of a Dataset's splits, and those of other sources that these lack.

    Args:
        dataset: What the student is for.
        sources: Files, of which a ``.txt`` has a text a line, and Datasets.
        options: How tables are read; of a ``.txt`` file only the encoding counts.
        column: The texts' column in a table.
        altering: How altered copies are made.
        splits: Of the Dataset; of these it need not have others than train, which comes first.

    Raises:
        DataError: A source cannot be read.
        ModelError: The masked language model cannot be opened.
        ConfigError: There are sources, but the task is one of pairs.
    """
    names = task_of(dataset).inputs
    frames = [  # ids of two splits may be equal, so each is named with its split
        dataset.split(name).select(pl.format("{}:{}", pl.lit(name), "id").alias("id"), *names)
        for name in splits
        if name in dataset.splits
    ]
    if sources and len(names) == 2:
        raise ConfigError(
            "The 'transfer' input of distill is for single texts, but the task is one of pairs.",
            hint="Put pairs without labels into the Dataset: yanmo prepare … --unlabeled FILE",
        )
    parents: dict[str, str] = {}
    for number, path in enumerate(sources, 1):
        if path.is_dir():
            found = _open_dataset(path)
            texts, parents[f"transfer:{number}"] = _read_dataset(found), found.digest
        else:
            texts = _read_file(check_file(path), options, column)
        series = pl.Series("text", [text for text in texts if text.strip()], dtype=pl.String)
        frame = pl.DataFrame({"text": series}).with_row_index("id")
        frames.append(frame.select(pl.format("transfer {}:{}", pl.lit(number), "id").alias("id"), "text"))
    parents |= file_parents({"transfer": [path for path in sources if path.is_file()]})
    if altering.masked_lm is not None:
        if not altering.masked_lm.is_dir():
            raise DataError(
                f"There is no folder {altering.masked_lm}.", hint="Give the folder of a masked language model."
            )
        _open_infiller(altering.masked_lm)  # what is wrong with it shows now, not after the first copies
        parents["masked_lm"] = folder_digest(altering.masked_lm)
    first, *others = frames  # only the others lose what stands twice: labels lie beside the first row by row
    more = (
        pl.concat(others).unique(names, maintain_order=True).join(first, on=names, how="anti", maintain_order="left")
        if others
        else None
    )
    return Transfer(first if more is None else pl.concat([first, more]), altering, parents)


def _open_dataset(path: Path) -> Dataset:
    if not (path / MANIFEST).is_file():
        raise DataError(f"{path} is a folder, but no Dataset.", hint="Name its files, or the folder of a Dataset.")
    return Dataset.open(path)


def _read_dataset(dataset: Dataset) -> Iterator[str]:
    for name in TEACHING_SPLITS:
        if name in dataset.splits:
            yield from dataset.split(name)["text"].to_list()


def _read_file(path: Path, options: ReadOptions, column: str) -> Iterator[str]:
    if file_kind(path, options.file_type) != ".txt":
        for table in read_blocks([path], options, [column]):
            yield from (text for text in table[column].to_list() if text is not None)
        return
    rest = ""
    for data in utf8_blocks(path, options.encoding):
        *lines, rest = (rest + data.decode()).split("\n")
        yield from lines
    yield rest


def _open_infiller(folder: Path) -> Infiller:
    from yanmo.modeling.runs.infilling import Infiller

    return Infiller(folder)
