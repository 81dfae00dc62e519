"""A body as text: in the charset of its byte order mark, of its header, of its own declaration.

A label is only what somebody says. One that nobody knows or that the bytes do not fit is passed
over for the next, then for UTF-8; and a body that nothing fits is read all the same (`Decoded`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from raw_store.errors import BodyUnreadable

from .labels import decode_as, name_of
from .prescan import html_charset, xml_charset

FALLBACK = "windows-1252"
"""It gives every byte a character."""

_PEEK = 64
"""Bytes within which markup has begun, blank ones before it included."""
_HEADER = re.compile(r"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;,\"']+))", re.I)
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    # Before UTF-16: its mark begins with theirs, and no text begins with a NUL.
    (b"\xff\xfe\x00\x00", "utf-32le"),
    (b"\x00\x00\xfe\xff", "utf-32be"),
    (b"\xff\xfe", "utf-16le"),
    (b"\xfe\xff", "utf-16be"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A body's text and how it was read."""

    text: str
    charset: str
    """The name in lower case, as the WHATWG has it."""
    is_exact: bool
    """Whether every byte fits; where not, U+FFFD stands for what does not."""


def decode(body: bytes, content_type: str | None) -> Decoded:
    """The text of a body; never fails.

    The first charset that fits: byte order mark, header, XML declaration or `<meta>`, UTF-8.
    When none does:

    - a byte order mark, or a label other than UTF-8, is believed, with U+FFFD for what is not;
    - else UTF-8 is, where more of the body is UTF-8's longer sequences than bytes that fit none;
    - else it is windows-1252, in which nothing can be wrong.
    """
    fitting = decode_exactly(body, content_type)
    if fitting:
        return fitting
    marked, start = mark_of(body)
    name = marked or next(labelled(body, content_type), "utf-8")
    text = decode_as(body[start:], name, "replace")
    if name == "utf-8" and not marked and not _mostly_fits(text):
        return Decoded(text=decode_as(body, FALLBACK), charset=FALLBACK, is_exact=True)
    return Decoded(text=text, charset=name, is_exact=False)


def decode_exactly(body: bytes, content_type: str | None) -> Decoded | None:
    """The text of a body in the first charset that fits it; None when none does."""
    marked, start = mark_of(body)
    names = [marked] if marked else [*labelled(body, content_type), "utf-8"]
    for name in dict.fromkeys(names):
        try:
            text = decode_as(body[start:] if start else body, name)
        except UnicodeDecodeError:
            continue  # a wrong label; the next may be right
        return Decoded(text=text, charset=name, is_exact=True)
    return None


def mark_of(body: bytes) -> tuple[str | None, int]:
    """The charset of the byte order mark and the mark's length; None and 0 without one."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return name, len(mark)
    return None, 0


def labelled(body: bytes, content_type: str | None) -> Iterator[str]:
    """The names of the charsets that the header and then the body itself declare, known ones."""
    if said := header_charset(content_type):
        yield said
    kind = (content_type or "").lower()
    ways = [xml_charset, html_charset] if "html" not in kind else [html_charset, xml_charset]
    if "html" in kind or "xml" in kind or body[:_PEEK].lstrip().startswith((b"<", b"\0<")):
        for way in ways:
            if declared := way(body):
                yield declared


def header_charset(content_type: str | None) -> str | None:
    """The name of the charset that a Content-Type gives; None without a known one."""
    found = _HEADER.search(content_type or "")
    return name_of(found[1] or found[2] or found[3] or "") if found else None


def relabelled(content_type: str | None, label: str) -> str:
    """The content type with this charset in place of its own."""
    if name_of(label) is None:
        raise BodyUnreadable(
            f"Nobody knows the charset {label!r}. Labels are those of the WHATWG's Encoding "
            f"Standard, such as utf-8, latin1, shift_jis or windows-1251."
        )
    media_type = (content_type or "text/plain").partition(";")[0].strip()
    return f"{media_type}; charset={label}"


def _mostly_fits(text: str) -> bool:
    """Whether more characters beyond ASCII were read than replaced."""
    replaced = text.count("\ufffd")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return beyond_ascii - replaced > replaced
