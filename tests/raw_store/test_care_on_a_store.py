"""Erasing, retention, verify and statistics where the archive is on an S3 store."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from raw_store.archive import Archive
from raw_store.durability import open_folder
from raw_store.erasing import erase
from raw_store.feeds import Feed
from raw_store.files import list_files
from raw_store.retention import apply_retention
from raw_store.selection import Asked
from raw_store.statistics import statistics
from tests.topology.peers import KEY, SECRET, s3_store

from .conftest import FEED, NOON, URL, make_payload

CANARY = b"canary-in-an-object-0123456789-abcdefghijklmnop-ABCDEFGHIJKLMNOP"
OTHER = "https://example.org/other.json"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        with s3_store(tmp_path_factory.mktemp("store")) as url:
            yield url


@pytest.fixture
def archive(store, request, home, settings, transactional_db) -> Archive:
    settings.ARCHIVE_URL = store.replace("/archive?", f"/{request.node.name}?")
    return Archive()


def objects(archive) -> bytes:
    """Everything that is stored, one after the other."""
    filesystem, root = open_folder(archive.url)
    found = b""
    for file in list_files(archive.url):
        with filesystem.open_input_stream(f"{root}/{file.path}", compression=None) as stream:
            found += stream.read()
    return found


def test_erased_objects_are_deleted_and_the_rest_is_there(archive):
    archive.append_all(
        FEED, [make_payload(CANARY, minute=1), make_payload(b"stays", minute=1, url=OTHER)]
    )
    archive.append_all(FEED, [make_payload(CANARY + b"2", minute=2)])
    before = {file.path for file in list_files(archive.url)}

    erased = erase(archive.url, Asked(by="url", text=URL))
    assert erased

    assert (erased.fetch_count, erased.proof.left) == (2, [])
    assert erased.proof.byte_count > 0
    assert before.isdisjoint(file.path for file in list_files(archive.url))
    assert URL.encode() not in objects(archive)
    assert [row.body for row in archive.scan()] == [b"stays"]
    assert [problem for report in archive.verify() for problem in report.problems] == []


def test_retention_and_statistics_work_on_a_store(archive):
    archive.append_all(FEED, [make_payload(b"old"), make_payload(b"new", minute=1)])

    apply_retention(
        archive.url, [Feed(name=FEED, keep_bodies=timedelta(hours=1))], NOON + timedelta(hours=9)
    )
    (row,) = statistics(archive)

    assert (row["fetches"], row["absent"], row["stored"]) == (2, 1, 3)
    assert sum(report.absent_count for report in archive.verify()) == 1
