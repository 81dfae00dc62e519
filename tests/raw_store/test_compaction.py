"""Compaction changes how the rows lie, never what they are."""

import dataclasses
import shutil
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raw_store import compaction, regrouping, segment_writer, segments
from raw_store.archive import Archive
from raw_store.durability import hidden_name
from raw_store.errors import SegmentCorrupt
from raw_store.locks import exclusive
from raw_store.models import LatestVersion, ReplacedSegment, Segment
from raw_store.payload import Payload, digest
from raw_store.spool import Spool

from .conftest import FEED, make_payload

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = timedelta(0)


def rows_of(archive):
    """Every row by its id, with the body it stands for, which is what must never change."""
    archive = Archive(archive.url)
    stored = {row.fetch_id: row for row in archive.scan()}
    return {
        fetch_id: dataclasses.replace(
            row,
            body=stored[row.payload_id].body if row.payload_id else row.body,
            payload_id=None,
        )
        for fetch_id, row in stored.items()
    }


def files_of(archive):
    return sorted(path.name for path in Path(archive.url).rglob("*") if path.is_file())


def seal_each(archive, *groups, **options):
    for payloads in groups:
        archive.append_all(payloads[0].feed, payloads, **options)


def a_history(archive, count=6):
    """Two addresses fetched in turn, each time in a segment of its own."""
    for minute in range(count):
        seal_each(
            archive,
            [
                make_payload(b"one %d" % minute, minute=minute, url="http://a.example/1"),
                make_payload(b"two %d" % minute, minute=minute, url="http://a.example/2"),
            ],
        )


def test_small_segments_become_one_with_the_same_rows(archive):
    a_history(archive)
    before = rows_of(archive)

    done = archive.compact()

    (segment,) = archive.segments()
    assert (len(done.replaced), len(done.written)) == (6, 1)
    assert rows_of(archive) == before
    assert segment.clustered


def test_rows_lie_by_request_and_time(archive):
    a_history(archive)

    archive.compact()

    rows = [(row.request_key, row.fetched_at) for row in archive.scan()]
    assert rows == sorted(rows)
    assert len({key for key, _ in rows}) == 2


def test_compacting_again_changes_nothing(archive):
    a_history(archive)
    archive.compact()
    (before,) = archive.segments()

    done = archive.compact()

    (after,) = archive.segments()
    assert (done.replaced, after.name) == ([], before.name)


def test_feeds_are_never_mixed(archive):
    seal_each(archive, [make_payload(b"a")], [make_payload(b"b", feed="fx.daily")])
    seal_each(archive, [make_payload(b"c", minute=1)])

    archive.compact()

    assert sorted((s.feed, s.row_count) for s in archive.segments()) == [("fx.daily", 1), (FEED, 2)]


def test_a_body_that_recurs_is_stored_once_per_request(archive):
    for minute, body in enumerate([b"open", b"closed", b"open", b"closed", b"last"]):
        seal_each(archive, [make_payload(body, minute=minute)])
    before = rows_of(archive)

    archive.compact()

    rows = list(archive.scan())
    assert [row.body for row in rows] == [b"open", b"closed", None, None, b"last"]
    assert [row.payload_id for row in rows[2:4]] == [rows[0].fetch_id, rows[1].fetch_id]
    assert rows_of(archive) == before
    assert all(report.is_whole for report in archive.verify())


def test_equal_bodies_of_different_requests_stay_apart(archive):
    for number in range(3):
        seal_each(archive, [make_payload(b"same", url=f"http://a.example/{number}")])

    archive.compact()

    assert [row.body for row in archive.scan()] == [b"same"] * 3


def test_the_body_that_the_next_revisit_will_name_stays(archive):
    for minute, body in enumerate([b"open", b"closed", b"open"]):
        seal_each(archive, [make_payload(body, minute=minute)])

    archive.compact()
    seal_each(archive, [make_payload(b"open", minute=9)])

    newest = list(archive.scan())[-1]
    assert newest.is_revisit
    assert archive.read(newest.fetch_id).body == b"open"
    assert Archive(archive.url).read(LatestVersion.objects.get().payload_id).body == b"open"


def test_a_body_named_from_outside_the_batch_stays(archive, monkeypatch):
    monkeypatch.setattr(compaction, "TARGET_ROWS", 4)
    bodies = [b"open", b"closed", b"open", b"last", b"open", b"open"]
    for minute, body in enumerate(bodies):
        seal_each(archive, [make_payload(body, minute=minute)])
    before = rows_of(archive)

    archive.compact()

    assert len(archive.segments()) == 2
    assert rows_of(archive) == before
    assert all(report.is_whole for report in archive.verify())


def test_a_listing_made_before_is_still_readable_until_the_grace_is_over(archive):
    a_history(archive)
    pinned = archive.pinned()
    before = rows_of(archive)

    archive.compact()

    assert {row.fetch_id for row in pinned.scan()} == set(before)
    assert pinned.captures(FEED).num_rows == len(before)


def test_plain_readers_of_the_folder_see_each_row_once(archive):
    a_history(archive)

    archive.compact()

    count = duckdb.sql(f"SELECT count(*) FROM '{archive.url}/**/*.parquet'").fetchall()
    assert count == [(12,)]


def test_replaced_files_are_deleted_after_the_grace_period(archive):
    a_history(archive)
    archive.compact()
    assert len(files_of(archive)) == 7

    archive.gc(grace=AT_ONCE)

    assert files_of(archive) == [f"{archive.segments()[0].name}.parquet"]
    assert not ReplacedSegment.objects.exists()


def test_complete_runs_stay_complete_and_others_do_not_become_so(archive):
    seal_each(archive, [make_payload(b"1", run="whole")], complete_runs=True)
    seal_each(archive, [make_payload(b"2", run="broken", minute=1)])
    seal_each(archive, [make_payload(b"3", run="late", minute=2)])
    writer = archive.sync_writer(FEED)
    late = next(row.run_id for row in archive.scan() if row.body == b"3")
    writer.seal(complete_runs=[str(late)])
    before = archive.captures(FEED)

    archive.compact()

    columns = ["fetch_id", "run_is_complete"]
    after = Archive(archive.url).captures(FEED)
    assert sorted(map(str, after.select(columns).to_pylist())) == sorted(
        map(str, before.select(columns).to_pylist())
    )


def test_a_run_known_complete_only_elsewhere_stays_complete(archive):
    whole = make_payload(b"1", run="whole")
    seal_each(archive, [whole])
    archive.compact()
    archive.sync_writer(FEED).seal(complete_runs=[str(whole.run_id)])
    seal_each(archive, [make_payload(b"2", minute=1)])
    (first, *others) = archive.segments()

    with exclusive(compaction.LOCK):
        compaction.replace(archive.url, others)

    rows = Archive(archive.url).captures(FEED).select(["run_id", "run_is_complete"]).to_pylist()
    assert {"run_id": str(whole.run_id), "run_is_complete": True} in rows
    assert first.name in {segment.name for segment in archive.segments()}


def test_many_rows_are_cut_into_row_groups_and_segments(archive, monkeypatch):
    monkeypatch.setattr(regrouping, "TARGET_ROWS", 50)
    monkeypatch.setattr(regrouping, "BUCKET_BYTES", 200)
    small = dataclasses.replace(segment_writer.COMPACTED, rows=20, bytes=150)
    monkeypatch.setattr(regrouping, "COMPACTED", small)
    for start in range(0, 120, 30):
        rows = [
            make_payload(b"body %d" % n, minute=n, url=f"http://a.example/{n % 7}")
            for n in range(start, start + 30)
        ]
        seal_each(archive, rows)
    before = rows_of(archive)

    archive.compact()

    metadata = [pq.ParquetFile(Path(archive.url) / s.path).metadata for s in archive.segments()]
    assert [found.num_rows for found in metadata] == [54, 54, 12]
    assert {found.row_group(0).num_rows for found in metadata} == {18, 12}
    assert rows_of(archive) == before
    assert all(report.is_whole for report in archive.verify())


def test_a_large_body_moves_without_being_held_in_memory(archive, monkeypatch, tmp_path):
    monkeypatch.setattr(segments, "SPOOLED_FROM", 1_000)
    monkeypatch.setattr(segment_writer, "SPOOLED_FROM", 1_000)
    body = b"large " * 1_000
    spool = Spool.of([body])
    large = make_payload(None, body_digest=digest(body), body_size=len(body), spooled_body=spool)
    seal_each(archive, [make_payload(b"small", minute=1), large, make_payload(b"b", minute=2)])
    seal_each(archive, [make_payload(b"more", minute=3)])

    archive.compact()

    (segment,) = archive.segments()
    read = {
        row.fetch_id: row
        for row in segments.iter_payloads(archive.url, segment.path, spool=tmp_path)
    }
    moved = read[large.fetch_id].spooled_body
    assert moved is not None
    assert moved.read() == body
    assert archive.read(large.fetch_id).body == body
    assert all(report.is_whole for report in archive.verify())


def test_encoded_bodies_move_along(archive):
    rows = [
        make_payload(
            b"x", minute=n, encoded_body=b"\x1f%d" % n, encoded_digest=digest(b"\x1f%d" % n)
        )
        for n in range(3)
    ]
    seal_each(archive, *[[row] for row in rows])

    archive.compact()

    assert [row.encoded_body for row in archive.scan()] == [row.encoded_body for row in rows]
    assert all(report.is_whole for report in archive.verify())


def test_a_damaged_segment_keeps_its_batch_as_it_was(archive):
    a_history(archive)
    seal_each(
        archive,
        [make_payload(b"x", feed="fx.daily")],
        [make_payload(b"y", feed="fx.daily", minute=1)],
    )
    path = Path(archive.url) / archive.segments(FEED)[2].path
    path.write_bytes(path.read_bytes()[:-100])

    done = archive.compact()

    assert len(archive.segments(FEED)) == 6
    assert len(archive.segments("fx.daily")) == 1
    assert [type(error) for error in done.damaged] == [SegmentCorrupt]


def test_a_body_that_is_not_what_its_row_says_is_not_compacted(archive):
    seal_each(archive, [make_payload(b"a", body_digest=digest(b"b"), body_size=1)])
    seal_each(archive, [make_payload(b"c", minute=1)])

    done = archive.compact()

    assert len(archive.segments()) == 2
    assert "digest" in str(done.damaged[0])


def test_an_unfinished_compaction_is_cleared_away(archive):
    a_history(archive)
    paths = [segment.path for segment in archive.segments()]
    names = [segment.name for segment in archive.segments()]
    regrouping.regroup(
        archive.url, paths, replaces=names, scratch=Path(archive.url).parent / "scratch"
    )

    found = archive.gc(grace=AT_ONCE)

    assert len(found.removed) == 1
    assert sorted(files_of(archive)) == sorted(f"{name}.parquet" for name in names)


def test_a_compacted_segment_whose_sources_are_unknown_is_adopted(archive):
    a_history(archive)
    before = rows_of(archive)
    archive.compact()
    Segment.objects.all().delete()
    ReplacedSegment.objects.all().delete()

    archive.gc(grace=AT_ONCE)

    assert rows_of(archive) == before


def test_reindexing_believes_the_segment_that_replaces_others(archive):
    a_history(archive)
    before = rows_of(archive)
    old = {s.path: (Path(archive.url) / s.path).read_bytes() for s in archive.segments()}
    archive.compact()
    (segment,) = archive.segments()
    for path, content in old.items():  # as if killed before they were hidden
        (Path(archive.url) / path).write_bytes(content)
    Segment.objects.all().delete()
    ReplacedSegment.objects.all().delete()

    Archive(archive.url).reindex()

    assert [each.name for each in archive.segments()] == [segment.name]
    assert rows_of(archive) == before
    assert not any((Path(archive.url) / path).exists() for path in old)
    assert all((Path(archive.url) / hidden_name(path)).exists() for path in old)


def test_in_the_background_only_many_of_a_size_are_merged(archive):
    a_history(archive, count=compaction._DUE_FROM - 1)
    assert archive.compact(due_only=True).replaced == []
    seal_each(archive, [make_payload(b"one more", minute=100)])

    done = archive.compact(due_only=True)

    assert len(done.replaced) == compaction._DUE_FROM
    assert len(archive.segments()) == 1


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_however_often_it_is_compacted_the_rows_stay_the_same(archive, data):
    shutil.rmtree(archive.url, ignore_errors=True)
    Segment.objects.all().delete()
    LatestVersion.objects.all().delete()
    ReplacedSegment.objects.all().delete()
    archive = Archive(archive.url)
    seen: dict[UUID, Payload] = {}
    for step in range(data.draw(st.integers(2, 7))):
        fetches = data.draw(
            st.lists(
                st.tuples(
                    st.integers(0, 20),
                    st.integers(0, 2),
                    st.sampled_from([b"a", b"b", b"c"]),
                    st.sampled_from([200, 200, 304, 404]),
                ),
                min_size=1,
                max_size=6,
            )
        )
        payloads = [
            make_payload(
                None if status == 304 else body,
                minute=minute,
                sequence=100 * step + number,
                url=f"http://a.example/{url}",
                status=status,
            )
            for number, (minute, url, body, status) in enumerate(fetches)
        ]
        seal_each(archive, payloads)
        seen = seen | rows_of(archive)
        if data.draw(st.booleans()):
            archive.compact(grace=data.draw(st.sampled_from([AT_ONCE, timedelta(hours=1)])))

        assert rows_of(archive) == seen

    assert all(report.is_whole for report in archive.verify())
    versions = set(LatestVersion.objects.values_list("request_key", "body_digest"))
    Archive(archive.url).reindex()
    assert rows_of(archive) == seen
    assert set(LatestVersion.objects.values_list("request_key", "body_digest")) == versions
