"""The corpus of a pre-training: documents cut into tokens, written once for all workers; it knows no network."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from yanmo import machine
from yanmo.errors import DataError
from yanmo.modeling.features.corpus import Corpus, CorpusWriter, open_corpus
from yanmo.modeling.settings import ReadingSettings
from yanmo.text.words import encode_documents, untruncated

__all__ = ["Blocks", "CorpusReader", "make_corpus", "sample_documents", "wait_for_corpus"]

logger = logging.getLogger(__name__)

VOCABULARY_CHARACTERS = 50_000_000
"""The vocabulary is trained from a sample of the texts of about this size."""
CORPUS = "corpus"
WAIT_SECONDS = 0.2

Blocks = Callable[[], Iterator[list[str]]]


@dataclass(frozen=True)
class CorpusReader:
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


def sample_documents(blocks: Blocks) -> list[str]:
    """Return every k-th document, so that they have about so many characters as a vocabulary needs."""
    # A pass of its own over the texts: there may be more of them than fit into memory.
    total = sum(len(text) for block in blocks() for text in block)
    step = max(1, round(total / VOCABULARY_CHARACTERS))
    if step > 1:
        logger.info("The vocabulary is trained from every %dth of the documents.", step)
    documents = (text for block in blocks() for text in block)
    return [text for place, text in enumerate(documents) if place % step == 0]


def wait_for_corpus(folder: Path, run_key: str) -> None:
    """Let the workers but the first one wait until that one has made the tokenizer and then the corpus."""
    # By looking at the disk, since messages between workers give up after a while, and a corpus may take longer.
    while machine.worker_rank() and open_corpus(folder / CORPUS, run_key) is None:
        time.sleep(WAIT_SECONDS)


def make_corpus(reader: CorpusReader, blocks: Blocks, reading: ReadingSettings, folder: Path, run_key: str) -> Corpus:
    """Return the tokens of all documents, written once for all runs of the same key.

    Raises:
        DataError: There are fewer than two rows.
    """
    place = folder / CORPUS
    found = open_corpus(place, run_key)
    if found is None:
        tokenizer = untruncated(reader.backend)
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
