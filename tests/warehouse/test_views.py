"""The archive in SQL: its segments as they are, none yet, a damaged one, a new one."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from raw_store.rows import SCHEMA
from warehouse import views

from .conftest import FETCH, rows


def write_segment(rollups, name, *, body=b"{}", feed="quakes.day"):
    folder = rollups.archive / "source=quakes" / f"feed={feed}" / "date=2024-05-01"
    folder.mkdir(parents=True, exist_ok=True)
    row = dict.fromkeys(SCHEMA.names) | {
        "fetch_id": FETCH,
        "source": "quakes",
        "feed": feed,
        "status": 200,
        "headers": [{"name": "ETag", "value": "x"}],
        "fetched_at": datetime(2024, 5, 1, 10, tzinfo=UTC),
        "body": body,
    }
    path = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=SCHEMA), path)
    return path


def test_the_archive_has_every_fetch_and_payloads_those_with_a_body(rollups):
    write_segment(rollups, "a", body='{"é": 1}'.encode())
    write_segment(rollups, "b", body=None)

    made = rollups.build()

    assert rows(
        made.path, "SELECT feed, source, date::VARCHAR, count(*) FROM archive GROUP BY ALL"
    ) == [("quakes.day", "quakes", "2024-05-01", 2)]
    assert rows(made.path, "SELECT decode(body)->>'é', headers[1].value FROM payloads") == [
        ("1", "x")
    ]


def test_later_segments_are_seen_without_another_build(rollups):
    write_segment(rollups, "a")
    made = rollups.build()

    write_segment(rollups, "b", feed="quakes.week")

    assert rows(made.path, "SELECT feed FROM archive ORDER BY feed") == [
        ("quakes.day",),
        ("quakes.week",),
    ]


def test_an_empty_archive_has_the_same_columns_as_a_full_one(rollups):
    empty = rows(rollups.build().path, "SELECT column_name, column_type FROM (DESCRIBE archive)")
    write_segment(rollups, "a")

    full = rows(rollups.build().path, "SELECT column_name, column_type FROM (DESCRIBE archive)")

    assert sorted(empty) == sorted(full)
    assert [name for name, _ in full][: len(SCHEMA.names)] == SCHEMA.names


def test_a_damaged_segment_does_not_hide_the_others(rollups):
    write_segment(rollups, "b")
    write_segment(rollups, "a").write_bytes(b"PAR1 cut short")
    write_segment(rollups, "c").write_bytes(b"")

    made = rollups.build()

    assert rows(made.path, "SELECT count(*) FROM archive") == [(1,)]


def test_an_archive_of_damaged_segments_only_is_empty(rollups):
    write_segment(rollups, "a").write_bytes(b"damaged")

    made = rollups.build()

    assert rows(made.path, "SELECT count(*) FROM payloads") == [(0,)]


def test_an_archive_that_is_no_folder_has_no_views(rollups):
    rollups.archive = "s3://bucket/archive"

    made = rollups.build()

    names = {
        name
        for (name,) in rows(made.path, "SELECT view_name FROM duckdb_views() WHERE NOT internal")
    }
    assert names == {"quakes_quake", "quakes_station"}


def test_a_segment_that_is_replaced_meanwhile_is_not_taken_for_a_damaged_one(rollups, monkeypatch):
    replaced = write_segment(rollups, "a")
    write_segment(rollups, "b")
    is_whole = views._is_whole

    def replace_and_ask(path):
        replaced.unlink(missing_ok=True)
        return is_whole(path)

    monkeypatch.setattr(views, "_is_whole", replace_and_ask)
    made = rollups.build()
    write_segment(rollups, "c")

    assert rows(made.path, "SELECT count(*) FROM archive") == [(2,)]
