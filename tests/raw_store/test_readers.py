"""DuckDB, Polars and plain pyarrow read the archive as it lies on disk, with no code of ours."""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from raw_store.payload import Payload, digest

from .conftest import NOON, URL, make_payload
from .exchanging import fresh

FEEDS = ("quakes.day", "quakes.week")
Facts = list[tuple[str, str, bytes, list[tuple[str, str]], datetime]]
"""fetch_id, feed, body, headers, fetched_at."""


@pytest.fixture(params=["as sealed", "compacted"])
def stored(request, db, tmp_path) -> tuple[Path, list[Payload]]:
    """Two feeds over three days, in a dozen segments, or compacted; and what they hold."""
    chance = random.Random(5)
    archive = fresh(tmp_path / "archive")
    kept: list[Payload] = []
    for feed in FEEDS:
        for number in range(60):
            kept.append(_payload(chance, feed, number))
            if len(kept) % 10 == 0:
                archive.append_all(feed, kept[-10:])
    if request.param == "compacted":
        assert archive.compact().written
    return tmp_path / "archive", kept


def _payload(chance: random.Random, feed: str, number: int) -> Payload:
    values: dict[str, Any] = {
        "headers": (
            ("Set-Cookie", "a=1"),
            ("set-cookie", f"b={number}"),
            ("X-Place", "Zürich\xff"),
        ),
        "request_headers": (("Accept", "*/*"),) if number % 2 else (),
        "http_version": "HTTP/1.1",
        "reason": None if number % 3 else "OK",
    }
    # Larger than a page of Parquet, now and then; of any bytes.
    body = chance.randbytes(3_000_000 if number == 7 else chance.randrange(3_000))
    return make_payload(body, minute=number * 50, feed=feed, url=f"{URL}?{feed}&{number}", **values)


def facts_of(payloads: list[Payload]) -> Facts:
    return sorted(
        (str(each.fetch_id), each.feed, each.body or b"", list(each.headers), each.fetched_at)
        for each in payloads
    )


def by_duckdb(root: Path) -> Facts:
    rows = duckdb.sql(
        f"""SELECT fetch_id, feed, body, headers, epoch_us(fetched_at)
        FROM read_parquet('{root}/**/*.parquet', hive_partitioning = true)"""
    ).fetchall()
    return sorted(
        (name, feed, body, [(h["name"], h["value"]) for h in headers], _moment(micros))
        for name, feed, body, headers, micros in rows
    )


def _moment(micros: int) -> datetime:
    # As a datetime it would need a package that DuckDB does not bring along.
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def by_polars(root: Path) -> Facts:
    rows = polars.scan_parquet(f"{root}/**/*.parquet", hive_partitioning=True).collect()
    return sorted(
        (
            row["fetch_id"],
            row["feed"],
            row["body"],
            [(h["name"], h["value"]) for h in row["headers"]],
            row["fetched_at"],
        )
        for row in rows.iter_rows(named=True)
    )


def by_pyarrow(root: Path) -> Facts:
    rows = ds.dataset(root, partitioning="hive").to_table().to_pylist()
    return sorted(
        (
            row["fetch_id"],
            row["feed"],
            row["body"],
            [(h["name"], h["value"]) for h in row["headers"]],
            row["fetched_at"],
        )
        for row in rows
    )


READERS: list[Callable[[Path], Facts]] = [by_duckdb, by_polars, by_pyarrow]


@pytest.mark.parametrize("read", READERS)
def test_every_row_is_read_with_its_headers_and_its_body_byte_for_byte(stored, read):
    root, payloads = stored

    assert read(root) == facts_of(payloads)


def on_first_day_by_duckdb(root: Path) -> tuple[int, str]:
    relation = duckdb.sql(
        f"""SELECT fetch_id, date
        FROM read_parquet('{root}/**/*.parquet', hive_partitioning = true)
        WHERE feed = 'quakes.week' AND date <= DATE '2026-03-01'"""
    )
    return len(relation), str(relation.dtypes[1])


def on_first_day_by_polars(root: Path) -> tuple[int, str]:
    lazy = polars.scan_parquet(f"{root}/**/*.parquet", hive_partitioning=True)
    found = lazy.filter(
        (polars.col("feed") == "quakes.week") & (polars.col("date") <= date(2026, 3, 1))
    ).collect()
    return found.height, str(found["date"].dtype)


def on_first_day_by_pyarrow(root: Path) -> tuple[int, str]:
    dataset = ds.dataset(root, partitioning="hive")
    chosen = (ds.field("feed") == "quakes.week") & (ds.field("date") <= "2026-03-01")
    return dataset.count_rows(filter=chosen), str(dataset.schema.field("date").type)


@pytest.mark.parametrize(
    ("count", "kind"),
    [
        (on_first_day_by_duckdb, "DATE"),
        (on_first_day_by_polars, "Date"),
        (on_first_day_by_pyarrow, "string"),
    ],
)
def test_feed_and_date_are_partitions_to_choose_by(stored, count, kind):
    root, _ = stored
    dated = sum(
        ds.dataset(path).count_rows()
        for path in root.glob("source=quakes/feed=quakes.week/date=*/*.parquet")
        if path.parent.name == "date=2026-03-01"
    )

    assert dated > 0
    assert count(root) == (dated, kind)


def test_a_partition_that_is_not_asked_for_is_not_opened(stored):
    root, payloads = stored
    folder = root / "source=quakes" / "feed=quakes.week"
    dataset = ds.dataset(root, partitioning="hive")
    for path in (root / "source=quakes" / "feed=quakes.day").rglob("*.parquet"):
        path.write_bytes(b"no longer Parquet")
    asked = sum(payload.feed == "quakes.week" for payload in payloads)

    by_duck = duckdb.sql(f"SELECT fetch_id FROM read_parquet('{folder}/**/*.parquet')")
    lazy = polars.scan_parquet(f"{folder}/**/*.parquet")

    assert len(by_duck) == asked
    assert dataset.count_rows(filter=ds.field("feed") == "quakes.week") == asked
    assert lazy.select(polars.len()).collect().item() == asked


def test_a_time_is_asked_exactly_and_bodies_have_their_digests(stored):
    root, payloads = stored
    since = NOON + timedelta(hours=20)
    wanted = {str(each.fetch_id) for each in payloads if each.fetched_at >= since}

    relation = duckdb.sql(
        f"""SELECT fetch_id, sha256(body) = body_digest, octet_length(body) = body_size
        FROM read_parquet('{root}/**/*.parquet') WHERE fetched_at >= TIMESTAMPTZ '{since}'"""
    ).fetchall()
    table = ds.dataset(root).to_table(filter=ds.field("fetched_at") >= since)
    frame = polars.scan_parquet(f"{root}/**/*.parquet").filter(polars.col("fetched_at") >= since)

    assert {row[0] for row in relation} == wanted
    assert all(same and long for _, same, long in relation)
    assert set(table["fetch_id"].to_pylist()) == wanted
    assert set(frame.collect()["fetch_id"]) == wanted
    assert all(
        digest(row["body"]) == row["body_digest"]
        for row in table.select(["body", "body_digest"]).to_pylist()
    )
    assert pc.all(pc.is_valid(table["body"])).as_py()
