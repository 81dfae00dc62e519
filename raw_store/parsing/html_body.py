"""HTML, as browsers read it: what is left open is closed, what is misplaced is put in place.

Only one page is an error, that which nests elements without end: reading it takes time by the
square of its depth.
"""

import re

from selectolax.lexbor import LexborHTMLParser

from raw_store.errors import BodyUnreadable

DEEPEST = 20_000
"""Elements inside each other; half a second. Browsers stop at 512."""

# What is closed by itself, or is read in time however many of it are open; any other nests,
# of whatever name.
_FLAT = (
    "a|area|b|base|basefont|bgsound|big|body|br|caption|code|col|colgroup|dd|dt|em|embed|font|frame|"
    "head|hr|html|i|iframe|image|img|input|keygen|li|link|meta|nobr|noembed|noframes|noscript|"
    "option|p|param|plaintext|s|script|select|small|source|strike|strong|"
    "style|table|tbody|td|textarea|tfoot|th|thead|title|tr|track|tt|u|wbr|xmp"
)
_NESTING = re.compile(rf"<(/?)(?!(?:{_FLAT})[\s/>])[a-z]", re.I)


def parse(text: str) -> LexborHTMLParser:
    """The tree of a page. Raises `BodyUnreadable` when it nests elements deeper than `DEEPEST`."""
    # Few pages have so many tags; the others are not searched.
    if text.count("<") > DEEPEST and _depth(text) > DEEPEST:
        raise BodyUnreadable(
            f"The body is not read as HTML: it nests more than {DEEPEST:,} elements inside "
            f"each other, such as <div>; no page does. It begins {text[:40]!r}."
        )
    return LexborHTMLParser(text)


def _depth(text: str) -> int:
    deepest = depth = 0
    for closes in _NESTING.findall(text):
        depth = max(0, depth + (-1 if closes else 1))
        deepest = max(deepest, depth)
    return deepest
