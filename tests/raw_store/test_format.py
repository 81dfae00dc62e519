"""The promise of docs/archive-format.md: old segments stay readable, columns are documented."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import pyarrow as pa
import pytest

from raw_store import rows, segments
from raw_store.archive import Archive
from raw_store.payload import Payload

from .conftest import make_payload

PROJECT = Path(__file__).parents[2]
RELEASED = Path(__file__).parent / "segments"
AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
FIRST, SECOND, THIRD = (UUID(int=(0x0195 << 112) | (7 << 76) | (2 << 62) | n) for n in (1, 2, 3))
RUN = UUID(int=(0x0195 << 112) | (7 << 76) | (2 << 62))

# What `segments/version-1.parquet` was written from.
VERSION_1 = [
    Payload(
        fetch_id=FIRST,
        run_id=RUN,
        sequence=0,
        feed="quakes.day",
        attempt=2,
        method="POST",
        url="https://example.org/day.json?a=1",
        request_headers=(("Accept", "*/*"), ("accept", "text/html")),
        request_body=b"q=\xff",
        request_key="k" * 64,
        status=200,
        reason="Tr\xe8s bien",
        http_version="HTTP/1.1",
        headers=(("ETag", '"1"'), ("X-Odd", "\xff\x80"), ("etag", "2")),
        fetched_at=AT,
        elapsed_ms=12,
        content_type="application/json",
        content_encoding="gzip",
        body=b"{}\x00\xff",
        body_digest="d" * 64,
        body_size=4,
        encoded_digest="e" * 64,
        encoded_size=3,
        encoded_body=b"\x1f\x8b\x00",
        payload_id=FIRST,
    ),
    Payload(
        fetch_id=SECOND,
        run_id=RUN,
        sequence=1,
        feed="quakes.day",
        url="https://example.org/day.json?a=1",
        request_key="k" * 64,
        status=304,
        fetched_at=AT + timedelta(minutes=1),
        body_digest="d" * 64,
        payload_id=FIRST,
    ),
    Payload(
        fetch_id=THIRD,
        run_id=RUN,
        sequence=2,
        feed="quakes.day",
        url="https://example.org/other",
        request_key="o" * 64,
        status=None,
        fetched_at=AT + timedelta(minutes=2),
        truncated="time",
        error="timeout: no answer within 30 s",
    ),
]
RELEASES = {1: VERSION_1}


@pytest.mark.parametrize("version", RELEASES)
def test_segments_of_every_released_version_are_read(version):
    path = f"version-{version}.parquet"

    info = segments.read_info(str(RELEASED), path)

    assert (info.format_version, info.row_count, info.complete_runs) == (version, 3, [str(RUN)])
    assert list(segments.iter_payloads(str(RELEASED), path)) == RELEASES[version]


def test_the_version_being_written_has_a_committed_segment():
    assert segments.FORMAT_VERSION in RELEASES


def test_every_column_is_documented_with_its_type():
    page = (PROJECT / "docs" / "archive-format.md").read_text()
    page = page.partition("## Rows")[2].partition("## What exactly is kept")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.M))

    for field in rows.SCHEMA:
        kind = str(field.type)
        if kind.startswith("list"):
            kind = "list of struct (`name`, `value`)"
        if kind.startswith("timestamp"):
            kind = "timestamp (µs, UTC)"
        assert documented.get(field.name) == kind, field.name
    assert list(documented) == rows.SCHEMA.names


def test_the_documented_queries_run(db, monkeypatch, tmp_path):
    page = (PROJECT / "docs" / "archive-format.md").read_text()
    (sql,) = re.findall(r"```sql\n(.*?)```", page, re.S)
    (python,) = re.findall(r"```python\n(.*?)```", page, re.S)
    archive = Archive(str(tmp_path / "var" / "archive"))
    archive.append_all(
        "fx.daily", [make_payload(b"<x/>", feed="fx.daily", minute=n) for n in (0, 1)]
    )
    archive.append_all("quakes.day", [make_payload(b"{}")])
    monkeypatch.chdir(tmp_path)

    with duckdb.connect() as connection:
        counts, bodies = (
            connection.sql(statement).to_arrow_table().to_pylist()
            for statement in sql.split(";")
            if statement.strip()
        )
    names: dict[str, pa.Table] = {}
    exec(python, names)

    assert [row["feed"] for row in counts] == ["fx.daily", "quakes.day"]
    assert [row["body"] for row in bodies] == ["<x/>", "<x/>"]
    assert names["table"].num_rows == 1
