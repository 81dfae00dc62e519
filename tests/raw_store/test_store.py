"""The archive on an S3 store, and its index in PostgreSQL: the same as in a folder with SQLite."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from raw_store.archive import Archive
from raw_store.durability import open_folder, shown, write_file
from raw_store.errors import SealFailed, SegmentCorrupt
from raw_store.files import list_files
from raw_store.models import Segment
from tests.topology.peers import KEY, SECRET, postgres, s3_store

from .conftest import FEED, make_payload
from .test_durability import finish, manage, start_child


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        with s3_store(tmp_path_factory.mktemp("store")) as url:
            yield url


@pytest.fixture
def archive(store, request, db) -> Archive:
    """An archive of this test's own, in the one store."""
    return Archive(store.replace("/archive?", f"/{request.node.name}?"))


def test_a_store_gives_back_what_was_appended(archive):
    payloads = [make_payload(b"%d" % n, minute=n) for n in range(5)]

    archive.append_all(FEED, payloads, complete_runs=True)

    assert [row.body for row in archive.scan()] == [b"0", b"1", b"2", b"3", b"4"]
    assert archive.read(payloads[3].fetch_id).body == b"3"
    assert archive.captures(FEED)["run_is_complete"].to_pylist() == [True] * 5
    assert [report.problems for report in archive.verify()] == [[]]


def test_reindex_and_gc_work_on_a_store(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    archive.append_all(FEED, [make_payload(b"b", minute=1)])
    before = list(Segment.objects.values())
    Segment.objects.all().delete()

    archive.reindex()
    after_reindex = list(Segment.objects.values())
    Segment.objects.all().delete()
    archive.gc(grace=timedelta(0))

    assert before == after_reindex == list(Segment.objects.values())


def test_a_store_is_compacted_too_and_replaced_objects_go_after_the_grace_period(archive, settings):
    for minute in range(4):
        archive.append_all(FEED, [make_payload(b"%d" % minute, minute=minute)])
    listed = archive.pinned()

    archive.compact()

    assert sorted(row.body for row in listed.scan()) == [b"0", b"1", b"2", b"3"]
    assert [report.problems for report in archive.verify()] == [[]]
    assert len(list_files(archive.url)) == 5

    Segment.objects.all().delete()
    archive.reindex()
    archive.gc(grace=timedelta(0))

    (segment,) = archive.segments()
    assert [file.path for file in list_files(archive.url)] == [segment.path]
    assert [row.body for row in archive.scan()] == [b"0", b"1", b"2", b"3"]


def test_a_missing_object_is_a_corrupt_segment(archive):
    archive.append_all(FEED, [make_payload(b"a")])
    filesystem, root = open_folder(archive.url)
    filesystem.delete_file(f"{root}/{archive.segments()[0].path}")

    with pytest.raises(SegmentCorrupt, match="is missing"):
        list(archive.scan())


def test_a_segment_that_fails_midway_leaves_no_object(archive):
    def write(file) -> None:
        file.write(b"PAR1")
        raise OSError("the cable was pulled")

    with pytest.raises(SealFailed, match="cable"):
        write_file(archive.url, "source=a/feed=a.b/x.parquet", write)

    assert list_files(archive.url) == []


def test_a_store_that_does_not_answer_fails_the_seal(db):
    archive = Archive(
        "s3://someone:secret@bucket/archive?endpoint_override=127.0.0.1:9&scheme=http&region=x"
    )

    with pytest.raises(SealFailed, match="not acknowledged") as failed:
        archive.append_all(FEED, [make_payload(b"a")])

    assert "secret" not in str(failed.value)
    assert not Segment.objects.exists()


def test_an_address_is_shown_without_its_key():
    assert shown("s3://key:secret@bucket/a?scheme=http") == "s3://bucket/a"
    assert shown("/var/archive") == "/var/archive"


def test_two_processes_write_at_once_with_postgresql(tmp_path: Path, monkeypatch):
    with postgres() as database:
        monkeypatch.setenv("DATABASE_URL", database)
        manage(tmp_path, "migrate", "-v0")
        names = ("one", "two")
        writers = [start_child(tmp_path, "write", tmp_path / "archive", n, 40) for n in names]
        counts = [finish(writer)["acknowledged"] for writer in writers]
        verified = manage(tmp_path, "archive", "verify").stdout
        reindexed = manage(tmp_path, "archive", "reindex").stdout

    assert counts == [40, 40]
    assert "16 segments, 80 payloads" in verified
    assert "all is well" in verified
    assert reindexed == "16 segments, 80 payloads indexed.\n"
