"""Text without its HTML, on a whole joined column; it knows no other cleaning step.

A few patterns instead of a parser: comments and reviews carry remains of HTML, not documents. Each pattern looks at a
character a bounded number of times, so hostile input costs no more than honest input of its length.
"""

from __future__ import annotations

import html
import re

__all__ = ["strip_html"]

_INLINE = (
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|mark|nobr|q|s|samp|small|span|strike|"
    "strong|sub|sup|tt|u|var|wbr"
)
# Attribute values may hold ">" inside quotes; a quote that is never closed falls back on the plain form.
_REST_OF_TAG = r"(?:(?:[^<>\"'\x1e]|\"[^\"<\x1e]*+\"|'[^'<\x1e]*+')*+>|[^<>\x1e]*+>)"

# Left open, they reach to the end of their text, as in a browser.
_HIDDEN = re.compile(
    rf"<(script|style)(?=[\s/>]){_REST_OF_TAG}[^\x1e]*?(?:</\1(?![a-z0-9])[^<>\x1e]*+>?|(?=\x1e)|\Z)"
    r"|<!--[^\x1e]*?(?:-->|(?=\x1e)|\Z)",
    re.IGNORECASE,
)
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?=[\s/>]){_REST_OF_TAG}", re.IGNORECASE)
_TAG = re.compile(rf"<(?:/?[a-z]|!doctype|\?xml){_REST_OF_TAG}|<!\[cdata\[|\]\]>", re.IGNORECASE)
# Python refuses to read thousands of digits; no character has a number of twenty.
_HUGE_REFERENCE = re.compile(r"&#[0-9]{20,};?")


def strip_html(joined: str) -> str:
    """Return the text without tags, comments, scripts and styles, and with its entities replaced.

    Inline tags such as ``<b>`` leave nothing behind, all others a space. ``a < b`` and ``<3`` are no tags. Entities
    are replaced twice, for text that was escaped twice (``&amp;nbsp;``); a no-break space becomes a plain one. What
    was escaped is text: ``&lt;b&gt;`` becomes ``<b>`` and stays.
    """
    if "<" in joined:
        # Scripts and comments go first: what looks like a tag inside of them is none.
        joined = _TAG.sub(" ", _INLINE_TAG.sub("", _HIDDEN.sub(" ", joined)))
    if "&" in joined:
        # Entities come after the tags: what was escaped is text and must not become a tag.
        joined = html.unescape(html.unescape(_HUGE_REFERENCE.sub("\ufffd", joined)))
    return joined.replace("\xa0", " ")
