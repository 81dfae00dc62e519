"""Sitemaps: what a site says there is to fetch (sitemaps.org), as XML, text, compressed or not."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from lxml import etree

from ..errors import ExtractorFailed

LARGEST = 50 * 1024 * 1024
"""Bytes, decompressed: what sitemaps.org allows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One address of a sitemap."""

    url: str
    is_sitemap: bool = False
    """Whether it is another sitemap, which an index names."""
    priority: int = 0
    """From -5 to 5; what the site thinks of it, 0 being ordinary."""


def entries(body: bytes, url: str) -> Iterator[Entry]:
    """What a sitemap lists. Raises `ExtractorFailed` where it is none."""
    body = _decompressed(body, url)
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"<":
        yield from _lines(body)
        return
    is_sitemap, address, priority = False, "", 0
    try:
        walk = etree.iterparse(
            BytesIO(body), events=("start", "end"), resolve_entities=False, no_network=True
        )
        for event, node in walk:
            # Whatever the namespace: sites write several.
            name = node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""
            if event == "start":
                if name in ("url", "sitemap"):
                    is_sitemap, address, priority = name == "sitemap", "", 0
                continue
            if name == "loc" and not address:
                address = (node.text or "").strip()
            elif name == "priority":
                priority = _priority(node.text)
            elif name in ("url", "sitemap"):
                if address:
                    yield Entry(address, is_sitemap, priority)
                node.clear()
                while node.getprevious() is not None:
                    del node.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise ExtractorFailed(f"Sitemap {url} is not well-formed: {error}") from None


def named_in_robots(text: str) -> Iterator[str]:
    """The sitemaps that a robots.txt names (RFC 9309 leaves the line to sitemaps.org)."""
    for line in text.removeprefix("\ufeff").splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() == "sitemap":
            value = value.partition(" #")[0].strip()
            if value:
                yield value


def _decompressed(body: bytes, url: str) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    # A `.xml.gz` is a file, not a content coding: it arrives as it is.
    unpacking = zlib.decompressobj(wbits=31)
    try:
        found = unpacking.decompress(body, LARGEST + 1)
    except zlib.error as error:
        raise ExtractorFailed(f"Sitemap {url} does not decompress: {error}") from None
    if len(found) > LARGEST:
        raise ExtractorFailed(f"Sitemap {url} is larger than {LARGEST:,} bytes, decompressed.")
    if not unpacking.eof:
        raise ExtractorFailed(f"Sitemap {url} is cut off: its end does not decompress.")
    return found


def _lines(body: bytes) -> Iterator[Entry]:
    for line in body.decode("utf-8-sig", "replace").splitlines():
        if line.strip().startswith(("http://", "https://")):
            yield Entry(line.strip())


def _priority(text: str | None) -> int:
    try:
        return round((min(max(float(text or 0.5), 0.0), 1.0) - 0.5) * 10)
    except ValueError:
        return 0
