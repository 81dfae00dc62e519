"""HTML, as browsers read it: what is left open is closed, what is misplaced is put in place.

Only one page is an error, that which nests blocks without end: reading it takes time by the
square of its depth.
"""

import re

from selectolax.lexbor import LexborHTMLParser

from raw_store.errors import BodyUnreadable

DEEPEST = 20_000
"""Blocks inside each other; half a second. Browsers stop at 512."""

_BLOCK = re.compile(
    r"<(/?)(?:address|article|aside|blockquote|center|details|dialog|dir|div|dl|fieldset|"
    r"figcaption|figure|footer|header|hgroup|main|menu|nav|ol|pre|search|section|summary|ul)\b",
    re.I,
)


def parse(text: str) -> LexborHTMLParser:
    """The tree of a page. Raises `BodyUnreadable` when it nests deeper than `DEEPEST` blocks."""
    # Few pages have so many tags; the others are not searched.
    if text.count("<") > DEEPEST and _depth(text) > DEEPEST:
        raise BodyUnreadable(
            f"The body is not read as HTML: it nests more than {DEEPEST:,} blocks inside each "
            f"other, such as <div>; no page does. It begins {text[:40]!r}."
        )
    return LexborHTMLParser(text)


def _depth(text: str) -> int:
    deepest = depth = 0
    for closes in _BLOCK.findall(text):
        depth = max(0, depth + (-1 if closes else 1))
        deepest = max(deepest, depth)
    return deepest
