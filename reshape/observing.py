"""Observing a feed: its versions out of the archive, in the order of time, into a drift report.

JSON is followed field by field, XML and HTML by the paths of their elements (XML with attributes),
CSV by the columns of its header. Of any other body only its form is told.
"""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from lxml import etree

from raw_store.archive import Archive
from raw_store.errors import ArchiveError, BodyUnreadable
from raw_store.payload import Payload

from .drift import FieldSeen, Observer, Report
from .sql import duck
from .versions import find_versions

MAX_BODY = 64 * 1024 * 1024
"""Bytes; a larger body is counted and not read."""
_AT_ONCE = 500
_BYTES_AT_ONCE = 32 * 1024 * 1024
_LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)
_HEADER = 65_536
_DELIMITERS = ",;\t|"


@dataclass(slots=True, kw_only=True)
class Observed:
    """What a feed's versions looked like, and what could not be looked at."""

    feed: str
    report: Report
    too_large_count: int = 0
    """Versions with bodies beyond `MAX_BODY`."""
    without_body_count: int = 0
    """Versions whose body is gone by policy, or damaged."""
    damaged: list[str] = field(default_factory=list)
    """The segments that cannot be read, and why."""


@dataclass(frozen=True, slots=True)
class _Version:
    fetch_id: str
    first_at: datetime
    last_at: datetime
    size: int
    has_body: bool


def observe_feed(
    feed: str,
    archive: Archive,
    *,
    since: datetime | None = None,
    advance: Callable[[int], None] | None = None,
) -> Observed:
    """Look at every version of a feed that was seen at or after `since`, in the order of time."""
    observer = Observer()
    observed = Observed(feed=feed, report=observer.report())
    versions = versions_of(feed, archive, since=since, damaged=observed.damaged)
    for some in _batches(versions, observed):
        found = archive.read_many(
            [UUID(each.fetch_id) for each in some],
            on_damaged=lambda error: _note(observed.damaged, error),
        )
        for each in some:
            payload = found.get(UUID(each.fetch_id))
            if payload is None or not payload.has_body:
                observed.without_body_count += 1
            else:
                observer.begin(each.first_at, each.last_at)
                observe(observer, payload)
            if advance:
                advance(1)
    observed.report = observer.report()
    return observed


def versions_of(
    feed: str, archive: Archive, *, since: datetime | None = None, damaged: list[str]
) -> list[_Version]:
    """The versions of a feed in the order of time, with when each was seen first and last."""
    with duck() as connection:
        find_versions(
            connection, archive, feed, None, on_damaged=lambda error: _note(damaged, error)
        )
        table = connection.sql(
            """
            SELECT
                s.version_id::VARCHAR AS fetch_id,
                min(s.fetched_at) AS first_at,
                max(s.fetched_at) AS last_at,
                max(c.body_size) AS size,
                bool_or(s.is_start AND s.payload_id IS NOT NULL) AS has_body
            FROM sightings AS s JOIN captures AS c USING (fetch_id)
            WHERE s.verdict = 'version'
            GROUP BY s.version_id
            HAVING max(s.fetched_at) >= $since
            ORDER BY first_at, min(s.sequence), s.version_id
            """,
            params={"since": since or _LONG_AGO},
        ).to_arrow_table()
    return [
        _Version(
            row["fetch_id"], row["first_at"], row["last_at"], row["size"] or 0, row["has_body"]
        )
        for row in table.to_pylist()
    ]


def observe(observer: Observer, payload: Payload) -> None:
    """Show the observer one payload; of a body that is not what it seems, its form alone."""
    kind = form_of(payload)
    try:
        if kind == "json":
            observer.json(payload.json())
            return
        if kind in ("xml", "html"):
            _observe_tree(observer, payload, kind)
            return
        columns = _header(payload.text) if kind == "csv" else []
        observer.document(kind)
        for column in dict.fromkeys(columns):
            observer.element(None, column, ("column",))
    except (BodyUnreadable, csv.Error, RecursionError):
        observer.document("unreadable")


def form_of(payload: Payload) -> str:
    """`json`, `xml`, `html`, `csv`, `text`, `binary` or `empty`: by the body, then by its type."""
    body = payload.body if payload.body is not None else b""
    if payload.spooled_body is not None:
        body = next(iter(payload.spooled_body.chunks()), b"")
    head = body[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head[2:].replace(b"\0", b"")  # the signs of markup and JSON, out of UTF-16 and -32
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    said = (payload.content_type or "").lower()
    if not start and not body[4096:].strip():
        return "empty"
    if start[:1] == b"<":
        lowered = start.lower()
        is_html = b"<!doctype html" in lowered or b"<html" in lowered or "text/html" in said
        return "html" if is_html and "xhtml+xml" not in said else "xml"
    if start[:1] in (b"{", b"[") or "json" in said:
        return "json"
    if "csv" in said or "tab-separated" in said:
        return "csv"
    if urlsplit(payload.url).path.lower().endswith((".csv", ".tsv")):
        return "csv"
    if b"\x00" in start and payload.charset == "utf-8":
        return "binary"
    return "text"


def _header(text: str) -> list[str]:
    """The columns of a table's first line, whatever of the usual signs stands between them."""
    first = text[:_HEADER].lstrip("\r\n")
    line = first.splitlines()[0] if first else ""
    delimiter = max(_DELIMITERS, key=line.count)
    header: list[str] = next(csv.reader(io.StringIO(first), delimiter=delimiter), [])
    return [column.strip()[:200] for column in header]


def _observe_tree(observer: Observer, payload: Payload, kind: str) -> None:
    if kind == "xml":
        root = payload.xml()
    else:
        parser = etree.HTMLParser(no_network=True, encoding="utf-8")
        try:
            root = etree.fromstring(payload.text.encode(), parser)
        except etree.XMLSyntaxError as error:
            raise BodyUnreadable(f"The body is not HTML: {error}.") from None
    observer.document(kind)
    waiting: list[tuple[FieldSeen | None, Any]] = [(None, root)] if root is not None else []
    while waiting:
        parent, element = waiting.pop()
        inner = [each for each in element if isinstance(each.tag, str)]
        has_text = bool(element.text and element.text.strip())
        holds = "elements" if len(inner) else "text" if has_text else "empty"
        found = observer.element(parent, _local(element.tag), (holds,))
        if found is None:
            continue
        if kind == "xml":
            for name in element.attrib:
                observer.element(found, f"@{_local(str(name))}", ("text",))
        waiting.extend((found, each) for each in reversed(inner))


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]


def _batches(versions: list[_Version], observed: Observed) -> Iterator[list[_Version]]:
    some: list[_Version] = []
    size = 0
    for version in versions:
        if not version.has_body:
            observed.without_body_count += 1
            continue
        if version.size > MAX_BODY:
            observed.too_large_count += 1
            continue
        if some and (len(some) >= _AT_ONCE or size + version.size > _BYTES_AT_ONCE):
            yield some
            some, size = [], 0
        some.append(version)
        size += version.size
    if some:
        yield some


def _note(damaged: list[str], error: ArchiveError) -> None:
    if str(error) not in damaged:
        damaged.append(str(error))
