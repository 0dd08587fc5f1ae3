"""The Writer: prompts in, texts out, of a Bundle that holds a decoder; it knows no HTTP.

Opening it takes a Bundle of format decoder. Rows of all prompts are written together, as many as there is room for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from yanmo.artifacts.bundle import Bundle
from yanmo.config import build
from yanmo.counted import counted
from yanmo.errors import ConfigError
from yanmo.runtimes.decoder import DecoderRuntime
from yanmo.runtimes.generating.beams import Hypothesis, search_beams
from yanmo.runtimes.generating.constraints import GrammarCompiler
from yanmo.runtimes.generating.decoder_session import DecoderSession
from yanmo.runtimes.generating.draft_bundles import open_draft
from yanmo.runtimes.generating.drafting import Draft, LookUp
from yanmo.runtimes.generating.generator import Ending, Generator, WrittenRow
from yanmo.runtimes.generating.options import WritingOptions
from yanmo.runtimes.generating.settings import DECODER_FILE, read_settings
from yanmo.runtimes.predictor import Predictor, check_golden, default_num_threads
from yanmo.text.growing import GrowingText
from yanmo.text.language_tokens import LanguageTokenizer

__all__ = ["Prompt", "Writer", "Written", "blocked_error", "open_writer", "push_row"]

NUM_ROWS = 8

Prompt = str | Sequence[int]


class Written(Struct, frozen=True):
    """One text that was written.

    Attributes:
        text: Without the prompt, and without what ended it.
        ending: stop: by an end token, a stop string or its grammar; length: it was cut.
        ids: Its tokens, with those that ended it.
        log_likelihoods: Of these, in nats.
        num_prompt_tokens: Tokens of the prompt.
        places: Which characters of the text each token adds, the first and the one behind the last.
    """

    text: str
    ending: Ending
    ids: list[int]
    log_likelihoods: list[float]
    num_prompt_tokens: int
    places: list[tuple[int, int]]


class Writer:
    """A Bundle that writes. Use it as a context manager, or call ``close``.

    Attributes:
        bundle: The Bundle.
        settings: What its decoder begins and ends texts with.
        tokenizer: Its tokenizer.
        max_length: The most tokens of prompt and text together.
        num_threads: Threads that it computes with.
    """

    def __init__(self, bundle: Bundle, *, num_threads: int, num_rows: int, draft: Bundle | None = None) -> None:
        self.bundle = bundle
        self.settings = read_settings(bundle)
        self.tokenizer = LanguageTokenizer.open(bundle.path / "tokenizer.json", end=bundle.architecture.get("end"))
        self.max_length = bundle.max_length
        self.num_threads = num_threads
        self.session = DecoderSession(
            bundle.path / DECODER_FILE, num_rows=num_rows, max_length=bundle.max_length, num_threads=num_threads
        )
        self._draft: Draft = LookUp()
        if draft is not None:
            self._draft = open_draft(draft, self.tokenizer, num_threads=num_threads)
        self._compiler: GrammarCompiler | None = None
        self.renew()

    def renew(self) -> None:
        """Let go of all rows; what is written next takes nothing over."""
        self.generator = Generator(self.session, self._draft)

    def write(
        self, prompts: Sequence[Prompt], *, when_written: Callable[[], None] = lambda: None, **options: Any
    ) -> list[list[Written]]:
        """Return ``n`` texts for each prompt.

        Args:
            prompts: Texts, or lists of token ids, which are read as they are.
            when_written: Called after each prompt whose texts are there.
            **options: Of :class:`~yanmo.runtimes.generating.options.WritingOptions`.

        Raises:
            ConfigError: An option is wrong, a prompt is too long, or nothing meets the grammar.
        """
        if isinstance(prompts, str):
            raise ConfigError("The 'prompts' parameter must be a list of prompts.", hint="write([prompt])")
        wishes = build(WritingOptions, options, where="generate")
        wishes.check_beams()
        encoded = [self.encode(prompt, wishes.max_new_tokens, truncate=wishes.truncate) for prompt in prompts]
        if wishes.num_beams > 1:
            return [self._search(prompt, wishes, when_written) for prompt in encoded]
        return self._write(encoded, wishes, when_written)

    def stream(self, prompt: Prompt, **options: Any) -> Iterator[str]:
        """Yield a text as it grows, in whole characters.

        Args:
            prompt: A text, or token ids.
            **options: As of :meth:`write`, of one text without beams.
        """
        wishes = build(WritingOptions, options, where="generate")
        if wishes.num_beams > 1 or wishes.n > 1:
            raise ConfigError("A text that is shown as it grows is one, and drawn.", hint="Leave n and num_beams out.")
        ids = self.encode(prompt, wishes.max_new_tokens, truncate=wishes.truncate)
        row = self.begin(ids, wishes)
        text = GrowingText(self.tokenizer.backend, ids, wishes.stop)
        try:
            is_over = False
            while not is_over:
                self.generator.step()
                new = push_row(text, row)
                # Before the piece is told: while it is read others may step, and this row end.
                is_over = row.ending is not None or text.is_stopped
                if new:
                    yield new
            if row.ending == "blocked":
                raise blocked_error()
        finally:
            self.generator.leave(row)

    def encode(self, prompt: Prompt, max_new_tokens: int, *, truncate: bool = False) -> list[int]:
        """Return the tokens of a prompt, with the one that begins every text before a prompt that is a text.

        Raises:
            ConfigError: It is longer than the model reads, or has a token that there is not.
        """
        ids = self.tokens(prompt)
        self._check_ids(ids)
        room = self.max_length - min(max_new_tokens, self.max_length - 1)
        if len(ids) > self.max_length - 1 and not truncate:
            raise ConfigError(
                f"The prompt has {len(ids)} tokens; the model reads {self.max_length}, and the text follows.",
                hint="Shorten it, or have its end read alone: truncate.",
            )
        return ids[-room:] if len(ids) > room and truncate else ids

    def tokens(self, prompt: Prompt) -> list[int]:
        """Return the tokens of a prompt, whatever they are and however many."""
        if isinstance(prompt, str):
            return [self.settings.begin_id, *self.tokenizer.encode([prompt]).ids.values.tolist()]
        return list(prompt) or [self.settings.begin_id]

    def begin(self, ids: Sequence[int], wishes: WritingOptions, number: int = 0) -> WrittenRow:
        """Return the row of one of a prompt's texts, which grows by the generator's steps.

        Args:
            ids: The prompt.
            wishes: What is wished.
            number: Of the text: each is drawn by a seed of its own.
        """
        decoding = wishes.decoding(frozenset(self.settings.end_ids)).of_text(number)
        size = self.session.vocabulary_size
        if decoding.bias and max(decoding.bias) >= size:
            raise ConfigError(
                f"The 'bias' parameter of generate must have tokens from 0 to {size - 1}. "
                f"Got {max(decoding.bias)} instead."
            )
        grammar = wishes.grammar()
        constraint = None if grammar is None else self.compiler.compile(grammar)
        return self.generator.begin(ids, decoding, constraint=constraint)

    @property
    def compiler(self) -> GrammarCompiler:
        """What makes constraints of grammars; made when it is first needed, for it reads the whole vocabulary."""
        if self._compiler is None:
            self._compiler = GrammarCompiler(self.tokenizer.backend, self.settings.end_ids[0])
        return self._compiler

    def close(self) -> None:
        """Let go of the model."""
        del self.generator, self.session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_ids(self, ids: Sequence[int]) -> None:
        size = self.session.vocabulary_size
        wrong = next((one for one in ids if type(one) is not int or not 0 <= one < size), None)
        if wrong is not None:
            raise ConfigError(f"A prompt's tokens must be whole numbers from 0 to {size - 1}. Got {wrong!r} instead.")

    def _write(
        self, prompts: Sequence[list[int]], wishes: WritingOptions, when_written: Callable[[], None]
    ) -> list[list[Written]]:
        # The generator begins rows in this order, so the texts of one prompt share what is read of it.
        rows = [[self.begin(ids, wishes, number) for number in range(wishes.n)] for ids in prompts]
        backend = self.tokenizer.backend
        texts = {id(row): GrowingText(backend, row.prompt, wishes.stop) for rows_of_one in rows for row in rows_of_one}
        num_left = [wishes.n] * len(rows)
        place_of = {id(row): place for place, rows_of_one in enumerate(rows) for row in rows_of_one}
        try:
            while any(num_left):
                for row in self.generator.step():
                    if id(row) not in texts:  # of a stream that is read beside
                        continue
                    push_row(texts[id(row)], row)
                    if texts[id(row)].is_stopped:
                        self.generator.leave(row)
                    elif row.ending is None:
                        continue
                    elif row.ending == "blocked":
                        raise blocked_error()
                    num_left[place_of[id(row)]] -= 1
                    if not num_left[place_of[id(row)]]:
                        when_written()
        finally:
            for rows_of_one in rows:
                for row in rows_of_one:
                    self.generator.leave(row)
        return [[_written(row, texts[id(row)]) for row in rows_of_one] for rows_of_one in rows]

    def _search(self, prompt: list[int], wishes: WritingOptions, when_written: Callable[[], None]) -> list[Written]:
        if wishes.num_beams > self.session.num_rows:
            raise ConfigError(
                f"There is room for {counted(self.session.num_rows, 'row')}, and 'num_beams' is {wishes.num_beams}.",
                hint="Open the writer with more rows.",
            )
        found = search_beams(
            self.session,
            prompt,
            num_beams=wishes.num_beams,
            max_new_tokens=wishes.max_new_tokens,
            end_ids=frozenset(self.settings.end_ids),
        )
        # What the rows held is overwritten.
        self.renew()
        when_written()
        return [self._whole(beam, prompt, wishes.stop) for beam in found[: wishes.n]]

    def _whole(self, beam: Hypothesis, prompt: list[int], stops: Sequence[str]) -> Written:
        text = GrowingText(self.tokenizer.backend, prompt, stops)
        text.push(beam.ids[:-1] if beam.ending == "stop" else beam.ids, is_last=True)
        return _told(text, beam.ids, beam.log_likelihoods, beam.ending, len(prompt))


def blocked_error() -> ConfigError:
    """Return what is said where no token may follow."""
    return ConfigError(
        "Nothing that the model's tokens can write meets the form that is asked.",
        hint="Loosen the grammar, or use a model whose tokens can write it.",
    )


def push_row(text: GrowingText, row: WrittenRow) -> str:
    """Let a text grow by its row's new tokens, and return what is decided since; the end token is no text."""
    is_end = row.ending == "stop" and row.ids[-1] in row.chooser.decoding.end_ids
    tokens = row.ids[len(text.ends) : len(row.ids) - is_end]
    return text.push(tokens, is_last=row.ending is not None)


def _written(row: WrittenRow, text: GrowingText) -> Written:
    # Several tokens may come at once, and the text end within them; without a stop string the end token counts, too.
    count = len(text.ends) if text.is_stopped else len(row.ids)
    return _told(text, row.ids[:count], row.log_likelihoods[:count], row.ending or "length", len(row.prompt))


def _told(
    text: GrowingText, ids: list[int], log_likelihoods: list[float], ending: Ending, num_prompt_tokens: int
) -> Written:
    size = len(text.text)
    # A stop string, and what came with it, is cut off; the token that ended the text adds nothing.
    ends = [min(end, size) for end in text.ends] + [size] * (len(ids) - len(text.ends))
    places = list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []
    told: Ending = "stop" if text.is_stopped else ending
    return Written(text.text, told, ids, log_likelihoods, num_prompt_tokens, places)


def open_writer(
    bundle: Bundle | str | Path,
    *,
    num_threads: int | None = None,
    num_rows: int = NUM_ROWS,
    draft: Bundle | str | Path | None = None,
) -> Writer:
    """Return a Writer for a Bundle.

    Args:
        bundle: The opened Bundle or its folder, of format decoder.
        num_threads: Threads to compute with; by default one for each CPU that this process may use.
        num_rows: Texts that are written at a time.
        draft: A small Bundle with the same tokens, which foresees some of a text that is written alone.

    Raises:
        ArtifactError: The folder is no whole Bundle of that format, or does not give its golden answers here.
        ConfigError: A number is less than 1, or the draft has other tokens.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    small = draft if isinstance(draft, Bundle) or draft is None else Bundle.open(draft)
    for name, value in (("num_threads", num_threads), ("num_rows", num_rows)):
        if value is not None and value < 1:
            raise ConfigError(f"The '{name}' parameter must be at least 1. Got {value} instead.")
    writer = Writer(opened, num_threads=num_threads or default_num_threads(), num_rows=num_rows, draft=small)
    check_golden(Predictor(opened, DecoderRuntime(opened, writer.num_threads, session=writer.session)))
    return writer
