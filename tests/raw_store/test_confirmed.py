"""Versions that a run confirms are read as the archive has them, most without asking the disk."""

import random
from pathlib import Path

import pytest

from raw_store import confirmed, segments
from raw_store.confirmed import ConfirmedVersions
from raw_store.errors import PayloadNotFound, SegmentCorrupt
from raw_store.ids import new_id
from raw_store.models import Segment

from .conftest import FEED, make_payload

PAGES = 60


def url_of(number):
    return f"https://example.org/{number}"


@pytest.fixture
def fetched(archive):
    """Three segments of pages, as rows."""
    pages = [
        make_payload(b"%d" % number * 100, minute=number, url=url_of(number), headers=(("A", "1"),))
        for number in range(PAGES)
    ]
    for at in range(0, PAGES, PAGES // 3):
        archive.append_all(FEED, pages[at : at + PAGES // 3])
    return list(archive.scan(FEED))


@pytest.fixture
def openings(monkeypatch):
    found = []
    real = segments.opened

    def opened(url, path):
        found.append(path)
        return real(url, path)

    monkeypatch.setattr(confirmed, "opened", opened)
    return found


def test_each_is_as_the_archive_has_it_and_a_row_group_is_read_once(archive, fetched, openings):
    versions = ConfirmedVersions(archive, FEED)

    assert versions.at_once(fetched[0].fetch_id) is None
    assert [versions.read(row.fetch_id) for row in fetched] == fetched
    assert versions.at_once(fetched[0].fetch_id) == fetched[0]
    assert len(openings) == 3


def test_in_whatever_order_little_is_held(archive, fetched):
    versions = ConfirmedVersions(archive, FEED, held=1)
    chance = random.Random(1)

    for row in chance.choices(fetched, k=200):
        assert versions.read(row.fetch_id) == row
        assert len(versions._groups) == 1
        assert len(versions._of) == PAGES // 3


def test_compacted_pages_are_found(archive, fetched):
    archive.compact(FEED)

    versions = ConfirmedVersions(archive, FEED)

    assert [versions.read(row.fetch_id) for row in fetched] == fetched


def test_what_one_is_given_is_ones_own(archive, fetched):
    versions = ConfirmedVersions(archive, FEED)
    one, other = versions.read(fetched[0].fetch_id), versions.read(fetched[0].fetch_id)

    assert one is not other
    assert one.text == other.text


def test_a_large_body_stays_out_of_memory(archive, monkeypatch, settings, tmp_path):
    settings.ROOTCELLAR_HOME = str(tmp_path)
    for module in ("segments", "segment_writer", "large_bodies"):
        monkeypatch.setattr(f"raw_store.{module}.SPOOLED_FROM", 1_000)
    body = random.Random(1).randbytes(5_000)
    archive.append_all(FEED, [make_payload(b"small"), make_payload(body, minute=1)])
    (_, large) = archive.scan(FEED)

    found = ConfirmedVersions(archive, FEED).read(large.fetch_id)

    assert found.body is None
    assert found.spooled_body is not None
    assert found.spooled_body.read() == body


def test_what_is_not_there_or_damaged_is_said(archive, fetched):
    versions = ConfirmedVersions(archive, FEED)
    with pytest.raises(PayloadNotFound):
        versions.read(new_id())

    path = Path(archive.url) / Segment.objects.order_by("name")[0].path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SegmentCorrupt):
        versions.read(fetched[0].fetch_id)
