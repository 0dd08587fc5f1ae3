"""Text that grows by tokens: whole characters only, and not beyond a string at which it is to stop; it knows no model.

A token may be a part of a character, and a stop string may begin in one token and end in another. What could still
become either is held back until it is decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

__all__ = ["GrowingText"]

BROKEN = "\ufffd"
"""What the library writes for bytes that are no character; whoever reads the text is to see none of it."""
NUM_BEFORE = 8
"""Tokens of the prompt by which the library tells whether the text begins with white space."""


class GrowingText:
    """The text of a row of tokens.

    Args:
        tokenizer: Of the model.
        prompt: The tokens before the text.
        stops: Strings before which the text ends.

    Attributes:
        text: What is decided of it.
        ends: How many characters there were behind each token.
        is_stopped: Whether one of the strings was reached; nothing grows then.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int] = (), stops: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        before = list(prompt[-NUM_BEFORE:])
        # Behind half a character the library would tell the whole end of the prompt as if it were new.
        if tokenizer.decode(before, skip_special_tokens=True).endswith(BROKEN):
            before = []
        self._stream = DecodeStream(ids=before, skip_special_tokens=True)
        self._last: list[int] = []
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.text = ""
        self.ends: list[int] = []
        self.is_stopped = False

    def push(self, tokens: Sequence[int], *, is_last: bool = False) -> str:
        """Take tokens, and return what is decided since.

        Args:
            tokens: Those that follow.
            is_last: Whether none will follow them: what was held for a stop string is decided then.
        """
        if self.is_stopped:
            return ""
        before = len(self.text)
        for token in tokens:
            # Bytes at the end that make no whole character stay in the stream, and are never told.
            self._held += self._step(token).replace(BROKEN, "")
            self.ends.append(len(self.text) + len(self._held))
            # Token by token, so that several at once end where one after the other would.
            self._decide(is_last=False)
            if self.is_stopped:
                return self.text[before:]
        if is_last:
            self._decide(is_last=True)
        return self.text[before:]

    def _step(self, token: int) -> str:
        """Return what a token adds, with marks for bytes that are no character."""
        try:
            found = self._stream.step(self._tokenizer, token)
        except Exception:  # noqa: BLE001 - the library raises no narrower one
            # Bytes that begin no character have made those before them none either, which the library takes for a text
            # that has changed. What is told stays; behind the token before, white space at a word's beginning does too.
            self._stream = DecodeStream(ids=self._last, skip_special_tokens=True)
            found = self._stream.step(self._tokenizer, token)
        self._last = [token]
        return found or ""

    def _decide(self, *, is_last: bool) -> None:
        """Let the text grow by what can become no stop string any more."""
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.is_stopped = True
            self.text += self._held[: min(places)]
            return
        keep = 0 if is_last else max((_num_begun(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        self.text += self._held[:cut]
        self._held = self._held[cut:]


def _num_begun(text: str, stop: str) -> int:
    """Return how many characters at a text's end may be the beginning of a stop string."""
    longest = min(len(text), len(stop) - 1)
    return next((count for count in range(longest, 0, -1) if text.endswith(stop[:count])), 0)
