"""Index and files: rebuilt from the files alone, cleared up after a crash, proved whole."""

import dataclasses
import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raw_store import rows, segment_writer
from raw_store.ids import new_id
from raw_store.models import LatestVersion, Segment
from raw_store.open_segment import SealLimits
from raw_store.payload import digest

from .conftest import FEED, NOON, make_payload, run_id

AT_ONCE = timedelta(0)


def test_reindex_restores_the_whole_index_from_the_files(archive):
    fill(archive)
    before = index()
    assert len(before[0]) > 3
    Segment.objects.all().delete()
    LatestVersion.objects.all().delete()

    archive.reindex()

    assert index() == before


def test_reindex_keeps_an_index_that_is_right(archive):
    fill(archive)
    before = index()

    found = archive.reindex()

    assert index() == before
    assert (found.forgotten, found.damaged) == ([], [])


def test_reindex_leaves_damaged_segments_out_and_names_them(archive):
    fill(archive)
    damaged, missing, *whole = archive.segments()
    file_of(archive, damaged).write_bytes(b"PAR1 nonsense PAR1")
    file_of(archive, missing).unlink()

    found = archive.reindex()

    assert [segment.name for segment in archive.segments()] == [one.name for one in whole]
    assert damaged.name in str(found.damaged[0])
    assert set(found.forgotten) == {damaged.path, missing.path}


def test_reindex_forgets_a_version_whose_body_is_gone(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    archive.append_all(FEED, [make_payload(b"a", minute=1)])
    file_of(archive, archive.segments()[0]).unlink()

    archive.reindex()
    archive.append_all(FEED, [make_payload(b"a", minute=2)])

    assert [row.body for row in archive.scan()] == [None, b"a"]


def test_reindex_reports_a_renamed_and_a_copied_segment(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    path = file_of(archive, archive.segments()[0])
    shutil.copy(path, path.with_name("other.parquet"))
    elsewhere = path.parent.with_name("date=2020-01-01")
    elsewhere.mkdir()
    shutil.copy(path, elsewhere / path.name)

    found = archive.reindex()

    assert len(found.segments) == 1
    assert ["second copy" in str(error) for error in found.damaged].count(True) == 1
    assert ["was renamed" in str(error) for error in found.damaged].count(True) == 1


def test_gc_adopts_whole_segments_and_removes_temporary_files(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    orphan = archive.segments()[0]
    Segment.objects.all().delete()
    LatestVersion.objects.all().delete()
    torn = file_of(archive, orphan).with_name(".x.parquet.tmp")
    torn.write_bytes(b"PAR1")

    found = archive.gc(grace=AT_ONCE)

    assert [info.name for info in found.adopted] == [orphan.name]
    assert (len(found.removed), torn.exists()) == (1, False)
    assert [row.body for row in archive.scan()] == [b"a"]
    assert LatestVersion.objects.get().payload_id == make_payload(b"a").fetch_id


def test_gc_with_dry_run_changes_nothing(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    Segment.objects.all().delete()

    found = archive.gc(grace=AT_ONCE, dry_run=True)

    assert len(found.adopted) == 1
    assert not Segment.objects.exists()


def test_gc_leaves_young_files_to_their_writer(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    Segment.objects.all().delete()

    found = archive.gc()

    assert found.adopted == []


def test_gc_names_a_leftover_that_cannot_be_read_and_leaves_it(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    path = file_of(archive, archive.segments()[0])
    Segment.objects.all().delete()
    path.write_bytes(path.read_bytes()[:-3])

    found = archive.gc(grace=AT_ONCE)

    assert path.stem in str(found.damaged[0])
    assert path.exists()


def test_verify_finds_a_whole_archive_whole(archive):
    fill(archive)

    reports = list(archive.verify())

    assert [report.problems for report in reports] == [[]] * len(archive.segments())
    assert sum(report.row_count for report in reports) == len(list(archive.scan()))


def test_verify_names_missing_damaged_and_unindexed_segments_and_reads_on(archive):
    fill(archive)
    missing, damaged, unindexed, *rest = archive.segments()
    file_of(archive, missing).unlink()
    content = bytearray(file_of(archive, damaged).read_bytes())
    content[30:90] = bytes(60)
    file_of(archive, damaged).write_bytes(content)
    Segment.objects.filter(name=unindexed.name).delete()

    reports = {report.path: report for report in archive.verify()}

    assert "is missing" in reports[missing.path].problems[0]
    assert "cannot be read" in reports[damaged.path].problems[0]
    assert "not in the index" in reports[unindexed.path].problems[0]
    assert len(reports) == 3 + len(rest)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"body": b"forged"}, "digest of its body"),
        ({"body_size": 7}, "size of its body"),
        ({"body": None}, "its body is missing"),
        ({"encoded_body": b"x", "encoded_digest": digest(b"y")}, "digest of its encoded body"),
        ({"payload_id": run_id("nowhere")}, "not in a readable segment"),
        ({"feed": "quakes.other"}, "its feed is quakes.other"),
    ],
)
def test_verify_notices_a_row_that_is_not_what_it_says(archive, change, complaint):
    archive.append_all(FEED, [make_payload(b"a")])
    (segment,) = archive.segments()
    (row,) = archive.scan()
    forged = rows.to_table([dataclasses.replace(row, **change)])
    path = file_of(archive, segment)
    metadata = pq.read_metadata(path).metadata
    pq.write_table(
        forged.replace_schema_metadata({k: v for k, v in metadata.items() if k != b"ARROW:schema"}),
        path,
    )

    (report,) = archive.verify()

    assert any(complaint in problem for problem in report.problems), report.problems


def test_verify_notices_an_index_that_disagrees(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    Segment.objects.update(row_count=2)

    (report,) = archive.verify()

    assert report.problems == [
        "row_count is 1 in the file and 2 in the index; `manage.py archive reindex` believes "
        "the file."
    ]


def test_an_index_row_written_twice_is_one_row(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    (segment,) = archive.segments()
    Segment.objects.all().delete()

    archive.gc(grace=AT_ONCE)
    archive.gc(grace=AT_ONCE)

    assert [found.name for found in archive.segments()] == [segment.name]


def fill(archive) -> None:
    """Two feeds, revisits, a 304, a failure, complete runs, history out of order."""
    etag = (("ETag", '"1"'),)
    asked = (("If-None-Match", '"1"'),)
    archive.append_all(
        FEED,
        [
            make_payload(b"a", minute=10, headers=etag),
            make_payload(None, minute=11, status=304, request_headers=asked),
            make_payload(b"a", minute=12, url="https://example.org/other"),
            make_payload(None, minute=13, status=None, error="timeout: 30 s"),
        ],
        complete_runs=True,
        limits=SealLimits(rows=2),
    )
    archive.append_all(FEED, [make_payload(b"old", minute=1)])
    archive.append_all("fx.daily", [make_payload(b"<x/>", feed="fx.daily")], complete_runs=True)
    segment_writer.write_segment(
        archive.url, FEED, str(new_id()), [], complete_runs="*", sealed_at=NOON
    )
    archive.gc(grace=AT_ONCE)


def index():
    return (
        list(Segment.objects.order_by("name").values()),
        list(LatestVersion.objects.order_by("feed", "request_key").values()),
    )


def file_of(archive, segment):
    return Path(archive.url) / segment.path
