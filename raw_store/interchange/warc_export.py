"""Export: rows of the archive become WARC/1.1 records (ISO 28500:2017).

Of each fetch, in this order:

- the main record, whose id is the fetch's: `response`, or `revisit` for a row without bytes of its
  own (profiles identical-payload-digest and server-not-modified), or `resource` where no status
  was recorded;
- `request`, unless nothing is known of it;
- `conversion`, the decoded body, where it is not what the transferred bytes decode to;
- `metadata`, see `raw_store.interchange.warc_fields`.

A failure without a response is a `request` and its `metadata`. What is exported twice is equal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid5

import pyarrow as pa
import pyarrow.compute as pc

from ..archive import Archive
from ..decode import codings, decode
from ..errors import ExportRefused, SegmentCorrupt
from ..payload import Headers, Payload, digest
from ..progress import Progress
from ..segments import iter_payloads
from .arrivals import LONGEST_BODY, SCRATCH
from .http import (
    OF_THE_CODING,
    OF_THE_TRANSFER,
    parse_head,
    request_head,
    response_head,
    unhide,
)
from .warc_fields import Extra, to_fields
from .warc_files import Block, Content, Naming, WarcFiles, digest_of
from .warc_records import warc_date

SPECIFICATION = "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"
PROFILES = "http://netpreserve.org/warc/1.1/revisit/"
SOFTWARE = "Rootcellar (archive export-warc, fetch fields 1)"
DEFAULT_MAX_SIZE = 1_000_000_000

_TRUNCATED = frozenset({"length", "time", "disconnect", "unspecified"})
_HOLDERS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which fetches of a feed to export; with a revisit comes the fetch that holds its body."""

    since: datetime | None = None
    until: datetime | None = None
    """Up to, not including."""
    url: str | None = None
    """An address; `*` stands for anything."""

    @property
    def pattern(self) -> "re.Pattern[str] | None":
        if self.url is None:
            return None
        return re.compile(".*".join(map(re.escape, self.url.split("*"))), re.DOTALL)

    def __str__(self) -> str:
        said = {"since": self.since, "until": self.until, "url": self.url}
        return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None)


@dataclass(slots=True, kw_only=True)
class Exported:
    """What an export made."""

    fetches: int = 0
    holders: int = 0
    """Of these, fetches outside the selection that hold bodies of it."""
    size: int = 0
    files: list[Path] = field(default_factory=list)


def export_warc(
    archive: Archive,
    feed: str,
    output: Path,
    *,
    selection: Selection | None = None,
    max_size: int | None = DEFAULT_MAX_SIZE,
    progress: Progress | None = None,
) -> Exported:
    """Write the fetches of a feed as WARC files, in constant memory, in the order archived.

    `output` is a folder, or one file to be: `NAME.warc.gz`, or `NAME.warc` for one that is not
    compressed. Raises `ExportRefused`, leaving no file, and `SegmentCorrupt`.
    """
    archive = archive.pinned()
    chosen = _choose(archive, feed, selection or Selection())
    if not chosen.found.num_rows:
        return Exported()
    if progress:
        progress.total = chosen.found.num_rows + len(chosen.holders)
    is_file = output.name.endswith((".warc", ".warc.gz"))
    naming = Naming(
        folder=output,
        prefix=f"{feed}-{chosen.first_at:%Y%m%d%H%M%S}{chosen.first_at.microsecond // 1000:03d}",
        whole=output if is_file else None,
        is_compressed=output.name.endswith(".gz") or not is_file,
    )
    done = Exported(holders=len(chosen.holders))
    exporter = _Exporter(archive, feed, chosen)
    try:
        with WarcFiles(naming, None if is_file else max_size, exporter.first) as files:
            for payload in exporter.payloads():
                files.write(exporter.blocks(payload))
                done.fetches += 1
                if progress:
                    progress.advance()
    except OSError as error:
        raise ExportRefused(
            f"The export could not be written: {error}. No file of it is left; free some space or "
            "choose another place with --output."
        ) from error
    return replace(done, size=files.size, files=files.made)


class _Chosen(NamedTuple):
    """What a selection means, known from the metadata alone."""

    selection: Selection
    found: pa.Table
    """The captures of the selection, in the order archived."""
    first_at: datetime
    holders: list[UUID]
    """Fetches outside the selection that hold bodies of it."""
    named: frozenset[str]
    """Fetches that revisits of the selection refer to."""
    run_counts: dict[str, int]
    """Of the complete runs, how many fetches they have."""


def _choose(archive: Archive, feed: str, selection: Selection) -> _Chosen:
    captures = archive.captures(feed)
    mask = pa.array([True] * captures.num_rows, pa.bool_())
    if selection.since is not None:
        mask = pc.and_(mask, pc.greater_equal(captures["fetched_at"], selection.since))
    if selection.until is not None:
        mask = pc.and_(mask, pc.less(captures["fetched_at"], selection.until))
    if pattern := selection.pattern:
        fits = [bool(pattern.fullmatch(url)) for url in captures["url"].to_pylist()]
        mask = pc.and_(mask, pa.array(fits, pa.bool_()))
    found = captures.filter(mask)
    revisits = found.filter(pc.not_equal(found["payload_id"], found["fetch_id"]))
    named = pc.unique(revisits["payload_id"])
    holders = named.filter(pc.invert(pc.is_in(named, found["fetch_id"]))).to_pylist()
    known = set(captures["fetch_id"].to_pylist()) if holders else set()
    holders = [UUID(each) for each in holders if each in known]
    counted = pc.value_counts(captures.filter(captures["run_is_complete"])["run_id"])
    return _Chosen(
        selection=selection,
        found=found.select(["segment", "fetch_id"]),
        first_at=pc.min(found["fetched_at"]).as_py(),
        holders=sorted(holders),
        named=frozenset(named.to_pylist()),
        run_counts={each["values"]: each["counts"] for each in counted.to_pylist()},
    )


class _Holder(NamedTuple):
    """The fetch that holds a body, as its revisits refer to it."""

    url: str
    fetched_at: datetime
    payload_digest: str | None
    hidden: frozenset[str]


class _Exporter:
    """Turns the rows of one feed into records."""

    def __init__(self, archive: Archive, feed: str, chosen: _Chosen) -> None:
        self._archive = archive
        self._feed = feed
        self._chosen = chosen
        self._holders: dict[UUID, _Holder] = {}

    def payloads(self) -> Iterator[Payload]:
        """Every row to export; holders from outside the selection first."""
        chosen = self._chosen
        for start in range(0, len(chosen.holders), _HOLDERS_AT_ONCE):
            batch = chosen.holders[start : start + _HOLDERS_AT_ONCE]
            found = self._archive.read_many(batch)
            yield from (found[fetch_id] for fetch_id in batch if fetch_id in found)
        paths = {segment.name: segment.path for segment in self._archive.segments(self._feed)}
        for name, group in groupby(_ids(chosen.found), key=itemgetter(0)):
            wanted = {fetch_id for _, fetch_id in group}
            for row in iter_payloads(self._archive.url, paths[name], spool=SCRATCH):
                if str(row.fetch_id) in wanted:
                    # Once, though it lay in a segment twice.
                    wanted.remove(str(row.fetch_id))
                    yield row

    def first(self, file_name: str) -> Block:
        """The warcinfo record of a file (section 6.2)."""
        at = self._chosen.first_at
        identity = f"{self._feed} {self._chosen.selection} {file_name} {at.isoformat()}"
        fields = {
            "software": SOFTWARE,
            "format": "WARC File Format 1.1",
            "conformsTo": SPECIFICATION,
            "isPartOf": self._feed,
            "description": " ".join(
                f"Fetches of the feed {self._feed} {self._chosen.selection}".split()
            )
            + ". Records are grouped by fetch; secrets were masked before they were archived.",
        }
        return Block(
            (
                ("WARC-Type", "warcinfo"),
                ("WARC-Record-ID", _urn(uuid5(_NAMESPACE, identity))),
                ("WARC-Date", warc_date(at)),
                ("WARC-Filename", file_name),
                ("Content-Type", "application/warc-fields"),
            ),
            "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode(),
        )

    def blocks(self, row: Payload) -> list[Block]:
        """The records of one fetch. Raises `SegmentCorrupt` when its bytes are not its own."""
        _check_whole(row)
        main, extra = self._main(row)
        request = self._request(row, main)
        conversion = self._conversion(row) if extra.body == "conversion" else None
        if main is not None and row.status is not None:
            restored = unhide(parse_head(main.head).headers, frozenset(extra.hidden))
            extra = extra._replace(headers=None if restored == row.headers else row.headers)
        elif row.headers:
            extra = extra._replace(headers=row.headers)
        asked = parse_head(request.head).headers if request else ()
        extra = extra._replace(
            request_headers=None if asked == row.request_headers else row.request_headers,
            has_request_body=row.request_body is not None,
            run_fetch_count=self._chosen.run_counts.get(str(row.run_id)),
        )
        metadata = Block(
            (
                *self._named("metadata", row, uuid5(row.fetch_id, "metadata"), main or request),
                ("Content-Type", "application/warc-fields"),
            ),
            to_fields(row, extra),
        )
        return [block for block in (main, request, conversion, metadata) if block]

    def _main(self, row: Payload) -> tuple[Block | None, Extra]:
        content, extra = _content(row)
        if row.status is None and row.error is not None and content is None:
            return None, extra
        if row.is_revisit and content is None and row.payload_id is not None:
            return self._revisit(row, row.payload_id)
        hidden = _hidden(row, extra)
        if row.status is None:
            kind, media_type, head = "resource", _media_type(row.content_type), b""
        else:
            kind, media_type = "response", "application/http; msgtype=response"
            head = response_head(row, hidden)
        headers: Headers = (("Content-Type", media_type),)
        if row.truncated in _TRUNCATED:
            headers += (("WARC-Truncated", str(row.truncated)),)
        elif content is None and (row.body_digest or row.encoded_size):
            # There was a body: the archive gave it up by policy, or withheld it.
            headers += (("WARC-Truncated", "unspecified"),)
        if str(row.fetch_id) in self._chosen.named:
            self._holders[row.fetch_id] = _as_holder(row)
        main = Block(
            (*self._named(kind, row, row.fetch_id), *headers),
            head,
            b"" if content is None else content,
        )
        return main, extra._replace(hidden=tuple(sorted(hidden)))

    def _revisit(self, row: Payload, holder_id: UUID) -> tuple[Block, Extra]:
        """A row without bytes of its own (section 6.7)."""
        holder = self._holder(holder_id)
        # A player takes the headers of a revisit with the bytes of the fetch it refers to.
        hidden = holder.hidden if holder else OF_THE_TRANSFER
        hidden &= {name.lower() for name, _ in row.headers}
        is_confirmed = row.status == 304
        profile = "server-not-modified" if is_confirmed else "identical-payload-digest"
        headers: Headers = (
            ("WARC-Profile", f"{PROFILES}{profile}"),
            ("WARC-Refers-To", _urn(holder_id)),
        )
        if holder:
            headers += (
                ("WARC-Refers-To-Target-URI", _uri(holder.url)),
                ("WARC-Refers-To-Date", warc_date(holder.fetched_at)),
            )
            if holder.payload_digest:
                headers += (("WARC-Payload-Digest", f"sha256:{holder.payload_digest}"),)
        head = b""
        if row.status is not None:
            headers += (("Content-Type", "application/http; msgtype=response"),)
            head = response_head(row, hidden)
        named = self._named("revisit", row, row.fetch_id)
        return Block((*named, *headers), head), Extra(hidden=tuple(sorted(hidden)))

    def _holder(self, fetch_id: UUID) -> _Holder | None:
        if fetch_id not in self._holders:
            # Compaction may put a revisit before the fetch it refers to.
            row = self._archive.read_many([fetch_id]).get(fetch_id)
            if row is None:
                return None
            self._holders[fetch_id] = _as_holder(row)
        return self._holders[fetch_id]

    def _request(self, row: Payload, main: Block | None) -> Block | None:
        if main is not None and not (row.request_headers or row.request_body or row.status):
            return None
        record_id = uuid5(row.fetch_id, "request")
        return Block(
            (
                *self._named("request", row, record_id, main),
                ("Content-Type", "application/http; msgtype=request"),
            ),
            request_head(row),
            row.request_body or b"",
        )

    def _conversion(self, row: Payload) -> Block:
        return Block(
            (
                *self._named("conversion", row, uuid5(row.fetch_id, "conversion")),
                ("WARC-Refers-To", _urn(row.fetch_id)),
                ("Content-Type", _media_type(row.content_type)),
            ),
            b"",
            row.spooled_body or row.body,
        )

    def _named(
        self, kind: str, row: Payload, record_id: UUID, linked: Block | None = None
    ) -> Headers:
        """The headers that every record of a fetch has."""
        headers: Headers = (
            ("WARC-Type", kind),
            ("WARC-Record-ID", _urn(record_id)),
            ("WARC-Date", warc_date(row.fetched_at)),
            ("WARC-Target-URI", _uri(row.url)),
        )
        if linked is not None:
            headers += (("WARC-Concurrent-To", dict(linked.headers)["WARC-Record-ID"]),)
        return headers


_NAMESPACE = UUID("6f1bd1b2-7d4f-5a83-9d5c-0f6d6a1c6a55")


def _ids(found: pa.Table) -> Iterator[tuple[str, str]]:
    """Segment and fetch id of each row, some in memory at a time."""
    for batch in found.to_batches(max_chunksize=10_000):
        yield from zip(batch["segment"].to_pylist(), batch["fetch_id"].to_pylist(), strict=True)


def _content(row: Payload) -> tuple[Content | None, Extra]:
    """The bytes a main record holds, as they were transferred if they were kept."""
    encoded = row.encoded_body if row.spooled_encoded is None else row.spooled_encoded
    body = row.body if row.spooled_body is None else row.spooled_body
    if encoded is None:
        return body, Extra(block=None if body is None else "body")
    if body is None:
        return encoded, Extra(block="encoded_body")
    is_decoded = _decodes(encoded, row)
    return encoded, Extra(block="encoded_body", body="decoded" if is_decoded else "conversion")


def _decodes(encoded: Content, row: Payload) -> bool:
    """Whether the body is what the transferred bytes decode to, as an import will decode them."""
    decoded = decode(encoded, row.content_encoding, LONGEST_BODY, spool=SCRATCH)
    if decoded.error is not None or decoded.body is None:
        return False
    return digest_of(decoded.body) == row.body_digest


def _hidden(row: Payload, extra: Extra) -> frozenset[str]:
    """The headers that are not true of what a main record holds."""
    is_decoded = extra.block == "body" and codings(row.content_encoding) and row.body != b""
    hidden = OF_THE_CODING if is_decoded else OF_THE_TRANSFER
    return hidden & {name.lower() for name, _ in row.headers}


def _as_holder(row: Payload) -> _Holder:
    content, extra = _content(row)
    said = digest_of(b"" if content is None else content)
    is_decoded = extra.block == "body" and bool(codings(row.content_encoding))
    return _Holder(
        url=row.url,
        fetched_at=row.fetched_at,
        payload_digest=said,
        hidden=OF_THE_CODING if is_decoded else OF_THE_TRANSFER,
    )


def _check_whole(row: Payload) -> None:
    """An export must not give damage new digests."""
    for bytes_of, spool, said in (
        (row.body, row.spooled_body, row.body_digest),
        (row.encoded_body, row.spooled_encoded, row.encoded_digest),
    ):
        found = spool.digest if spool else bytes_of is not None and digest(bytes_of)
        if found and said is not None and found != said:
            raise SegmentCorrupt(
                f"Fetch {row.fetch_id}: the digest of its bytes is not the one recorded, so it is "
                "not exported. Run `manage.py archive verify` to list every damaged segment."
            )


def _urn(identity: UUID) -> str:
    return f"<urn:uuid:{identity}>"


def _uri(url: str) -> str:
    """An address as a header can hold it: ASCII, no white space, a lower-case scheme."""
    scheme, colon, rest = url.partition(":")
    return quote(f"{scheme.lower()}{colon}{rest}", safe=_PRINTABLE) or "about:blank"


_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


def _media_type(content_type: str | None) -> str:
    said = (content_type or "").strip()
    is_one_line = said.isascii() and said.isprintable()
    return said if said and is_one_line else "application/octet-stream"
