"""What `manage.py archive` prints: tables of feeds and segments, and the heads of one fetch."""

from typing import Any

from django.db.models import Count, Max, Min, Sum

from .archive import Archive
from .models import Segment
from .payload import Headers, Payload

Row = dict[str, Any]


def feed_rows() -> list[Row]:
    """One row per archived feed."""
    found = Segment.objects.values("feed").order_by("feed")
    return [
        {**row, "first": _iso(row["first"]), "last": _iso(row["last"])}
        for row in found.annotate(
            segments=Count("name"),
            payloads=Sum("row_count"),
            bodies=Sum("body_bytes"),
            files=Sum("file_bytes"),
            first=Min("first_fetched_at"),
            last=Max("last_fetched_at"),
        )
    ]


def segment_rows(archive: Archive, feed: str) -> list[Row]:
    """One row per segment of a feed."""
    return [
        {
            "segment": segment.path,
            "payloads": segment.row_count,
            "bodies": segment.body_bytes,
            "files": segment.file_bytes,
            "first": _iso(segment.first_fetched_at),
            "last": _iso(segment.last_fetched_at),
            "sealed": _iso(segment.sealed_at),
        }
        for segment in archive.segments(feed)
    ]


def table(rows: list[Row]) -> str:
    """Rows as aligned text; sizes in units a person reads."""
    heads = list(rows[0])
    cells = [[_cell(name, row[name]) for name in heads] for row in rows]
    widths = [max(len(line[at]) for line in [heads, *cells]) for at in range(len(heads))]

    def aligned(line: list[str]) -> str:
        padded = (
            text.rjust(width) if isinstance(rows[0][name], int) else text.ljust(width)
            for name, text, width in zip(heads, line, widths, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join(aligned(line) for line in [heads, *cells])


def size(count: int) -> str:
    """Bytes as a person reads them: `1.4 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def heads(payload: Payload) -> str:
    """One fetch: where it belongs, its request and response without their bodies."""
    lines = [
        f"fetch {payload.fetch_id} of {payload.feed}, at {payload.fetched_at.isoformat()}",
        f"run {payload.run_id}, position {payload.sequence}, attempt {payload.attempt}",
        "",
        f"> {payload.method} {payload.url}",
        *_header_lines(">", payload.request_headers),
    ]
    if payload.request_body is not None:
        lines.append(f"> ({len(payload.request_body)} bytes of request body)")
    status = "status not recorded" if payload.status is None else str(payload.status)
    if payload.error is None or payload.status is not None:
        protocol = f"{payload.http_version} " if payload.http_version else ""
        lines += ["", f"< {protocol}{status} {payload.reason or ''}".rstrip()]
        lines += _header_lines("<", payload.headers)
    return "\n".join([*lines, "", outcome(payload)])


def outcome(payload: Payload) -> str:
    """What became of a fetch, in one line."""
    if payload.error is not None and not payload.has_body:
        return f"failed: {payload.error}"
    # A size without a digest: secrets were masked, see docs/secrets.md.
    is_masked = payload.encoded_size is not None and payload.encoded_digest is None
    if not payload.has_body:
        if is_masked and payload.encoded_size and payload.body_digest is None:
            return f"body withheld: {size(payload.encoded_size)} that hand out secrets"
        return "no body"
    spool = payload.spooled_body
    length = spool.size if spool else len(payload.body or b"")
    parts = [f"body: {size(length)}, SHA-256 {payload.body_digest}"]
    if payload.is_revisit:
        parts.append(f"the same as that of fetch {payload.payload_id}")
    if is_masked and not payload.is_revisit:
        parts.append("secrets in it masked")
    if payload.truncated:
        parts.append(f"truncated ({payload.truncated})")
    return ", ".join([*parts, "print it with --body"])


def _header_lines(mark: str, pairs: Headers) -> list[str]:
    return [f"{mark} {name}: {value}" for name, value in pairs]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("bodies", "files"):
        return size(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _iso(value: Any) -> str | None:
    return None if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")
