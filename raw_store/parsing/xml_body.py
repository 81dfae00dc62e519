"""XML, with nothing but the body: no file and no address is opened, no entity swells it.

Entities that the body declares itself are put in place, for RDF and SVG use them; libxml2 stops
at a million bytes or five times the body's size. External entities, parameter entities and
document type definitions are never fetched, and a reference to one is an error instead of a
silent gap.
"""

import re

from lxml import etree

from raw_store.errors import BodyUnreadable

from .charsets import decode_exactly
from .places import offset_of, place

_PLACE_OF_LIBXML2 = re.compile(r"[\s.,]*line \d+, column \d+$")


def parse(body: bytes, content_type: str | None) -> etree._Element:
    """The root element. Raises `BodyUnreadable` when the body is not well-formed XML."""
    if not body.strip():
        raise BodyUnreadable("The body is not XML. It is empty.")
    decoded = decode_exactly(body, content_type)
    if decoded is None:
        raise BodyUnreadable(
            f"The body is not XML: its bytes fit neither its charset label nor UTF-8. "
            f"It begins {body[:40]!r}."
        )
    # The charset is settled: a declaration that says otherwise must not be heard again.
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities="internal",  # type: ignore[arg-type]  # newer than the stubs
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
    )
    try:
        given = body if decoded.charset == "utf-8" else decoded.text.encode()
        return etree.fromstring(given, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        at = offset_of(decoded.text, line, column)
        said = _PLACE_OF_LIBXML2.sub("", error.msg or "malformed").strip()
        raise BodyUnreadable(
            f"The body is not XML: {said}, at {place(decoded.text, at)}.{_hint(said, decoded.text)}"
        ) from None


def _hint(said: str, text: str) -> str:
    if "amplification" in said:
        return " Its entities would swell it to many times its size."
    if said.startswith("Entity") and "not defined" in said:
        return " Only entities that the body itself declares are read; no file or address is."
    if re.match(r"\s*<(!doctype\s+)?html", text, re.I):
        return " It looks like HTML: payload.html() reads that."
    return ""
