"""Plain texts to learn to read from, in lists that fit into memory: Datasets and raw files; it knows no token.

Of a Dataset the texts of every split but test are read, and no label. A ``.txt`` file holds a document a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.identity import file_digest
from yanmo.artifacts.placing import MANIFEST
from yanmo.data.containers import file_kind
from yanmo.data.decode import Encoding, check_file, utf8_blocks
from yanmo.data.read import ReadOptions, read_blocks
from yanmo.data.rows import file_parents
from yanmo.errors import DataError
from yanmo.tasks import task_of
from yanmo.text.pipeline import TextConfig, TextPipeline

__all__ = ["PlainTexts", "open_texts"]

# Not test: a model must not be measured on texts that it has learned to read from.
READ_SPLITS = ("train", "valid", "unlabeled")


@dataclass(frozen=True)
class PlainTexts:
    """Texts of one or several sources.

    Attributes:
        blocks: Yields them, cleaned, the same ones in every call.
        parents: What they come from, by digest.
        config: How they are cleaned.
        user_dict_path: The segmenter's dictionary, if there is one.
    """

    blocks: Callable[[], Iterator[list[str]]]
    parents: dict[str, str]
    config: TextConfig
    user_dict_path: Path | None = None


def open_texts(sources: Sequence[Path], options: ReadOptions, column: str) -> PlainTexts:
    """Return the texts of Datasets and raw files.

    Args:
        sources: Folders of Datasets, all with the same cleaning, and files: ``.txt``, or a table.
        options: How tables are read; of a ``.txt`` file only the encoding counts.
        column: The texts' column in a table.

    Raises:
        DataError: A source cannot be read, or two Datasets clean in different ways.
        ArtifactError: A folder is no whole Dataset.
    """
    datasets = {path: _open_dataset(path) for path in sources if path.is_dir()}
    files = [check_file(path) for path in sources if path not in datasets]
    parents = {f"dataset:{number}": one.digest for number, one in enumerate(datasets.values(), 1)}
    parents |= file_parents({"source": files})
    first = next(iter(datasets.values()), None)
    _check_cleaning(list(datasets.values()))
    pipeline = first.text_pipeline() if first else TextPipeline(TextConfig())

    def blocks() -> Iterator[list[str]]:
        for path in sources:
            raw = _read_dataset(datasets[path]) if path in datasets else _read_file(path, options, column)
            for texts in raw:
                yield pipeline.apply(texts)

    return PlainTexts(blocks, parents, pipeline.config, first.user_dict_path if first else None)


def _open_dataset(path: Path) -> Dataset:
    if not (path / MANIFEST).is_file():
        raise DataError(f"{path} is a folder, but no Dataset.", hint="Name its files, or the folder of a Dataset.")
    return Dataset.open(path)


def _check_cleaning(datasets: Sequence[Dataset]) -> None:
    for one in datasets[1:]:
        if _cleaning(one) != _cleaning(datasets[0]):
            raise DataError(
                f"{one.path} and {datasets[0].path} clean or segment their texts in different ways.",
                hint="Prepare both with the same cleaning, segmenter and user dictionary.",
            )


def _cleaning(dataset: Dataset) -> tuple[TextConfig, str | None]:
    path = dataset.user_dict_path
    # Two dictionaries of one name may hold other words, so their content is compared.
    return dataset.text_config, file_digest(path) if path else None


def _read_dataset(dataset: Dataset) -> Iterator[list[str]]:
    for split in READ_SPLITS:
        if split in dataset.splits:
            path = dataset.split_path(split)
            for table in read_blocks([path], ReadOptions(), _text_columns(dataset)):
                yield [text for name in _text_columns(dataset) for text in table[name] if text]


def _text_columns(dataset: Dataset) -> list[str]:
    return list(task_of(dataset).inputs)


def _read_file(path: Path, options: ReadOptions, column: str) -> Iterator[list[str]]:
    if file_kind(path, options.file_type) == ".txt":
        yield from _read_lines(path, options.encoding)
        return
    for table in read_blocks([path], options, [column]):
        yield [text for text in table[column] if text]


def _read_lines(path: Path, encoding: Encoding) -> Iterator[list[str]]:
    rest = ""
    for data in utf8_blocks(path, encoding):
        # The last piece may be half a line and waits for the next block. Only LF ends a document: splitlines would cut
        # it at other characters, too.
        *lines, rest = (rest + data.decode()).split("\n")
        if lines:
            yield lines
    if rest:
        yield [rest]
