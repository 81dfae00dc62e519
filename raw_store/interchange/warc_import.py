"""Import: WARC records, of whatever program, become rows of one feed.

Records that this archive's export wrote are restored column by column. Of others, each response,
revisit and resource is a row, and so is a request without a response; the rest is counted and
passed over. What cannot be taken as it should be is kept with an error, or named with its offset.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from ..archive import Archive
from ..decode import decode
from ..errors import PayloadInvalid
from ..feeds import Feed
from ..ids import derived_id, id_time
from ..payload import Headers
from ..progress import Progress
from ..spool import Spool
from .arrivals import LONGEST_BODY, SCRATCH, Arrivals, Arrived, Recorded
from .http import ChunksBroken, header, is_chunked, join_chunks, parse_status_line
from .redaction import Redaction
from .warc_fields import FieldsInvalid, moved, parse_fields
from .warc_files import Content, pieces, size_of
from .warc_groups import Group, Groups, Part, read_part
from .warc_records import Damaged, Record, parse_warc_date, read_records
from .warc_restore import restored_row
from .warc_revisits import Holders

_MAIN = ("response", "revisit", "resource")
_MARK = b"software: Rootcellar "
_LONGEST_WARCINFO = 1 << 16
_LONGEST_FIELDS = 16 * 1024 * 1024
_TRUNCATED = frozenset({"length", "time", "disconnect", "unspecified"})
_REQUEST_LINE = re.compile(r"([^\s]+)[ \t]+\S.*")


def import_warc(
    archive: Archive,
    feed: Feed,
    paths: Iterable[Path],
    redaction: Redaction,
    progress: Progress | None = None,
) -> Arrived:
    """Archive what WARC files hold and the archive does not, in constant memory.

    Raises `ImportRefused`, naming file and offset, where a file is cut off or is no WARC file; what
    came before is archived, and a whole copy adds the rest.
    """
    importer = _Importer(Arrivals(archive, feed, redaction), progress)
    try:
        for path in paths:
            importer.take_file(path)
    finally:
        importer.arrivals.seal()
    for holder in importer.arrivals.missing_holders():
        importer.arrived.problems.append(
            f"Fetch {holder} holds the body of imported revisits and is not archived: import the "
            "file that has it."
        )
    return importer.arrived


class _Body(NamedTuple):
    """What a response's record holds, chunks joined."""

    content: Content
    headers: Headers
    error: str | None = None


class _Importer:
    def __init__(self, arrivals: Arrivals, progress: Progress | None) -> None:
        self.arrivals = arrivals
        self.arrived = arrivals.arrived
        self._progress = progress
        self._holders = Holders(arrivals)
        self._run: UUID | None = None
        self._warcinfo: str | None = None
        self._is_export = False
        """Whether the file is an export of an archive such as this."""
        self._restored = 0

    def take_file(self, path: Path) -> None:
        groups = Groups()
        runs: list[UUID] = []
        self._run, self._warcinfo = None, None
        problems = len(self.arrived.problems)
        self._is_export, self._restored = False, 0
        try:
            for record in read_records(path):
                if record.type == "warcinfo":
                    self._run, self._warcinfo = None, record.id
                    self._is_export = _MARK in record.read(_LONGEST_WARCINFO)
                part = self._read(record, groups)
                if part is None:
                    continue
                for group in groups.add(part):
                    self._take(group, runs)
            if self._is_export and groups and (self._restored or len(groups) == 1):
                raise Damaged(
                    f"{path} ends within a fetch, whose metadata record is missing. What comes "
                    "before is archived. Import a whole copy to add the rest."
                )
        except Damaged:
            for group in groups.rest(is_whole=False, needs_metadata=self._is_export):
                self._take(group, runs)
            raise
        for group in groups.rest(is_whole=True):
            self._take(group, runs)
        if len(self.arrived.problems) == problems:
            for run in runs:
                self.arrivals.end_run(run)

    def _read(self, record: Record, groups: Groups) -> Part | None:
        """The record, if it is part of an exchange; counted and passed over if not."""
        kind, is_http = record.type, _is_http(record)
        if kind in _MAIN and (is_http or kind != "response"):
            return read_part(record, "main", is_http=is_http)
        if kind == "request" and is_http:
            return read_part(record, "request", is_http=True)
        if kind == "metadata" and record.length <= _LONGEST_FIELDS:
            part = read_part(record, "metadata", is_http=False)
            if isinstance(part.content, bytes) and part.content.startswith(b"rootcellar-fetch:"):
                return part
        if kind == "conversion" and groups.knows(
            [(record.get("warc-refers-to") or "").strip("<>")]
        ):
            return read_part(record, "conversion", is_http=False)
        self.arrived.passed_over[kind or "nameless"] += 1
        return None

    def _take(self, group: Group, runs: list[UUID]) -> None:
        """Archive one exchange; what cannot be is named among the problems."""
        if self._progress:
            self._progress.advance()
        if "metadata" in group.parts:
            try:
                self._restore(group)
                return
            except FieldsInvalid as error:
                self._complain(
                    group.parts["metadata"],
                    f"{error}; the fetch is taken as one of another program",
                )
        main = group.main or group.parts.get("request")
        if main is None:
            self._complain(next(iter(group.parts.values())), "it belongs to no fetch")
            return
        try:
            recorded = self._recorded(group, main)
            row = self.arrivals.add(recorded, self._run_of(main, recorded, runs))
        except (ValueError, PayloadInvalid) as error:
            self._complain(main, f"{str(error).rstrip('.')}; it is not archived")
            return
        if group.main and main.type != "revisit":
            self._holders.learn(main, recorded, row)

    def _complain(self, part: Part, what: str) -> None:
        self.arrived.problems.append(f"{part.where}: {part.type} record {part.id}: {what}.")

    def _restore(self, group: Group) -> None:
        """Archive the row of an export, if its records are what its metadata says."""
        content = group.parts["metadata"].content
        assert isinstance(content, bytes)
        parsed = parse_fields(content)
        if parsed is None:
            raise FieldsInvalid("its format is of a later version")
        for part in group.parts.values():
            if part.problem or part.doubt or part.is_cut:
                raise FieldsInvalid(f"the {part.type} record's bytes are not those of its digests")
        row = restored_row(group, *parsed)
        if row.feed != self.arrivals.feed.name:
            row = moved(row, self.arrivals.feed.name, self._new_id(row.fetched_at))
        self._restored += 1
        self.arrivals.restore(row, parsed[1].run_fetch_count)

    def _new_id(self, at: datetime) -> Callable[[UUID], UUID]:
        """Ids for the copy of a fetch in another feed: the same for the same, whatever names it."""

        def new_id(known: UUID) -> UUID:
            moment = id_time(known)
            return derived_id(moment, self.arrivals.feed.name, known.bytes)

        return new_id

    def _run_of(self, main: Part, recorded: Recorded, runs: list[UUID]) -> UUID:
        """The run of a file: that of its warcinfo record, or of its first record."""
        if self._run is None:
            name = self._warcinfo or main.id or main.uri
            self._run = derived_id(recorded.fetched_at, "run", self.arrivals.feed.name, name)
            runs.append(self._run)
        return self._run

    def _recorded(self, group: Group, main: Part) -> Recorded:
        """Another program's records as one exchange. Raises `ValueError` for no date or address."""
        request = group.parts.get("request")
        url = main.uri
        if not re.match(r"https?://[^/?#\s]", url, re.IGNORECASE):
            raise ValueError(f"{url[:80]!r} is no http or https address")
        asked = request and request.head
        method = _REQUEST_LINE.fullmatch(asked.start) if asked else None
        base = Recorded(
            id_parts=(main.id,),
            url=url,
            method=method[1] if method else "GET",
            request_headers=asked.headers if asked else (),
            request_body=_in_memory(request),
            fetched_at=parse_warc_date(main.get("warc-date") or ""),
            truncated=_truncated(main),
            error=next((p.problem for p in group.parts.values() if p.problem), None),
        )
        if main is request:
            missing = "unrecorded: the WARC holds this request without a response"
            return replace(base, truncated=None, error=base.error or missing)
        if main.head is None:
            return self._resource(base, main)
        return self._response(base, main)

    def _resource(self, base: Recorded, main: Part) -> Recorded:
        if main.type == "revisit":
            return self._revisit(base, main)
        return replace(
            base,
            content_type=main.get("content-type"),
            content=main.content,
            is_decoded=True,
            error=base.error or _contradiction(main, main.content, main.content),
        )

    def _response(self, base: Recorded, main: Part) -> Recorded:
        assert main.head is not None
        line = parse_status_line(main.head.start)
        if line is None and main.type == "revisit" and not main.head.start:
            return self._revisit(base, main)
        if line is None:
            what = f"protocol: {main.head.start[:60]!r} is no status line"
            return replace(base, content=main.content, is_decoded=True, error=base.error or what)
        found = replace(
            base,
            status=line.status,
            reason=line.reason,
            http_version=line.http_version,
            headers=main.head.headers,
        )
        if main.type == "revisit":
            return self._revisit(found, main)
        body = _joined(main)
        error = base.error or body.error
        if error is None and main.doubt:
            coding = header(main.head.headers, "content-encoding")
            error = _contradiction(main, body.content, _decoded(body.content, coding))
        return replace(found, content=body.content, error=error)

    def _revisit(self, found: Recorded, main: Part) -> Recorded:
        """A revisit with the body it stands for, if that can be found."""
        if found.status == 304:
            return found
        said = main.get("warc-payload-digest")
        found = replace(found, id_parts=(*found.id_parts, said or ""))
        holder = self._holders.find(main)
        if holder is None:
            what = f"revisit: its body ({said or 'no digest'}) is neither in the file nor archived"
            return replace(found, error=found.error or what)
        return replace(
            found,
            payload_id=holder.payload_id,
            body_digest=holder.body_digest,
            body_size=holder.body_size,
        )


def _is_http(record: Record) -> bool:
    media_type = (record.get("content-type") or "").partition(";")[0].strip().lower()
    uri = (record.get("warc-target-uri") or "").strip("<> ").lower()
    if media_type:
        return media_type == "application/http"
    return record.type != "resource" and uri.startswith(("http:", "https:"))


def _in_memory(request: Part | None) -> bytes | None:
    """The body of a request, chunks joined."""
    if request is None or request.head is None:
        return None
    content = _joined(request).content
    return content.read() if isinstance(content, Spool) else content


def _joined(part: Part) -> _Body:
    """A body with its chunks joined, if it comes in chunks: some programs join them and say
    nothing of it."""
    assert part.head is not None
    if not is_chunked(part.head.headers) or not size_of(part.content):
        return _Body(part.content, part.head.headers)
    joined: list[str] = []

    def chunks() -> Iterable[bytes]:
        try:
            yield from join_chunks(pieces(part.content))
        except ChunksBroken as error:
            joined.append(str(error))

    is_long = isinstance(part.content, Spool)
    content: Content = Spool.of(chunks(), SCRATCH) if is_long else b"".join(chunks())
    if not joined:
        return _Body(content, part.head.headers)
    if not size_of(content):
        return _Body(part.content, part.head.headers)
    is_known = _truncated(part) is not None
    return _Body(content, part.head.headers, None if is_known else f"protocol: {joined[0]}")


def _decoded(content: Content, coding: str | None) -> Content:
    return decode(content, coding, LONGEST_BODY, spool=SCRATCH).body or b""


def _contradiction(main: Part, *candidates: Content) -> str | None:
    """Why the payload is not what its digest says, if it is not, however it is counted: programs
    differ in whether chunks and codings are part of it."""
    if main.doubt is None:
        return None
    for content in candidates:
        hasher = main.doubt.hasher()
        for piece in pieces(content):
            hasher.update(piece)
        if main.doubt.is_of(hasher):
            return None
    return f"digest: the payload is not that of {main.get('warc-payload-digest')}"


def _truncated(main: Part) -> str | None:
    said = (main.get("warc-truncated") or "").strip().lower()
    if main.is_cut:
        return "length"
    if main.get("warc-segment-number"):
        return "unspecified"
    return (said if said in _TRUNCATED else "unspecified") if said else None
