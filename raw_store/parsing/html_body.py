"""HTML, as browsers read it: what is left open is closed, what is misplaced is put in place.

Only two pages are an error, that which nests elements without end and that of an element with
attributes without end: reading them takes time by the square of either.
"""

import re

from selectolax.lexbor import LexborHTMLParser

from raw_store.errors import BodyUnreadable

DEEPEST = 20_000
"""Elements inside each other; half a second. Browsers stop at 512."""

MOST_ATTRIBUTES = 20_000
"""Of one element; half a second, too."""

# What is closed by itself, or is read in time however many of it are open; any other nests,
# of whatever name.
_FLAT = (
    "a|area|b|base|basefont|bgsound|big|body|br|caption|code|col|colgroup|dd|dt|em|embed|font|frame|"
    "head|hr|html|i|iframe|image|img|input|keygen|li|link|meta|nobr|noembed|noframes|noscript|"
    "option|p|param|plaintext|s|script|select|small|source|strike|strong|"
    "style|table|tbody|td|textarea|tfoot|th|thead|title|tr|track|tt|u|wbr|xmp"
)
_TAG = re.compile(r"<[a-z]", re.I)
_VALUE = re.compile(r"=\s*(?:\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z))")
_BETWEEN = re.compile(r"[\s/]+")
_NESTING = re.compile(rf"<(/?)(?!(?:{_FLAT})[\s/>])[a-z]", re.I)


def parse(text: str) -> LexborHTMLParser:
    """The tree of a page. Raises `BodyUnreadable` when it nests elements deeper than `DEEPEST`, or
    gives one of them more than `MOST_ATTRIBUTES`."""
    # Few pages have so many tags; the others are not searched.
    if text.count("<") > DEEPEST and _depth(text) > DEEPEST:
        raise BodyUnreadable(
            f"The body is not read as HTML: it nests more than {DEEPEST:,} elements inside "
            f"each other, such as <div>; no page does. It begins {text[:40]!r}."
        )
    if _attributes(text) > MOST_ATTRIBUTES:
        raise BodyUnreadable(
            f"The body is not read as HTML: an element has more than {MOST_ATTRIBUTES:,} "
            f"attributes; no page does. A tag may be open to its end. It begins {text[:40]!r}."
        )
    return LexborHTMLParser(text)


def _attributes(text: str) -> int:
    """The most attributes that an element has, where these are very many."""
    # A name and what is between two of them: a shorter tag has fewer.
    shortest = 2 * MOST_ATTRIBUTES
    most = start = 0
    while start + shortest < len(text):
        # From behind, so that a page of short tags is hardly looked at.
        end = text.rfind(">", start, start + shortest)
        if end < 0:
            end = text.find(">", start + shortest)
            end = len(text) if end < 0 else end
            if tag := _TAG.search(text, start, end):
                bare = _VALUE.sub(" ", text[tag.start() : end])
                most = max(most, len(set(_BETWEEN.split(bare))))
        start = end + 1
    return most


def _depth(text: str) -> int:
    deepest = depth = 0
    for closes in _NESTING.findall(text):
        depth = max(0, depth + (-1 if closes else 1))
        deepest = max(deepest, depth)
    return deepest
