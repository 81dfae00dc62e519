"""Statistics: what is archived, in numbers, from metadata alone."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from raw_store.archive import Archive
from raw_store.feeds import Feed
from raw_store.retention import apply_retention
from raw_store.statistics import statistics

from .conftest import FEED, NOON, URL, make_payload

OTHER = f"{URL}?page=2"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    return Archive()


def fill(archive):
    """Two requests: versions a, a again, b and gone; and one that fails and then is there."""
    archive.append_all(
        FEED,
        [
            make_payload(b"aaaa", minute=0, encoded_size=2, headers=(("ETag", '"1"'),)),
            make_payload(None, minute=1, status=304, request_headers=(("If-None-Match", '"1"'),)),
            make_payload(b"bb", minute=2),
            make_payload(b"not here", minute=3, status=404),
            make_payload(None, minute=4, url=OTHER, status=None, error="timeout"),
            make_payload(b"c" * 100, minute=5, url=OTHER),
        ],
    )


def test_every_number_is_what_was_archived(archive):
    fill(archive)

    (row,) = statistics(archive)

    files = sum(segment.file_bytes for segment in archive.segments())
    assert row == {
        "feed": FEED,
        "fetches": 6,
        "requests": 2,
        "versions": 3,
        "revisits": 1,
        "absent": 0,
        "failures": 2,
        "received": 2 + 2 + 8 + 100,
        "bodies": 4 + 4 + 2 + 8 + 100,
        "stored": 4 + 2 + 8 + 100,
        "saved": 4,
        "removed": 0,
        "first": "2026-03-01T12:00:00Z",
        "last": "2026-03-01T12:05:00Z",
        "files": files,
        "ratio": round(112 / files, 1),
        "segments": 1,
        "segments_compacted": 0,
        "statuses": {"200": 3, "304": 1, "404": 1, "none": 1},
        "biggest": [
            {"url": OTHER, "versions_stored": 1, "bytes": 100},
            {"url": URL, "versions_stored": 3, "bytes": 14},
        ],
    }


def test_compaction_changes_none_of_the_numbers_of_what_was_fetched(archive):
    fill(archive)
    archive.append_all(FEED, [make_payload(b"aaaa", minute=9)])
    (before,) = statistics(archive)

    archive.compact()
    (after,) = statistics(archive)

    storage = {"files", "ratio", "segments", "segments_compacted", "stored", "saved", "revisits"}
    assert {k: v for k, v in before.items() if k not in {*storage, "biggest"}} == {
        k: v for k, v in after.items() if k not in {*storage, "biggest"}
    }
    assert (after["segments"], after["segments_compacted"]) == (1, 1)


def test_bodies_removed_by_policy_are_counted(archive):
    fill(archive)
    feed = Feed(name=FEED, keep_bodies=timedelta(minutes=1))

    apply_retention(archive.url, [feed], NOON + timedelta(hours=1))
    (row,) = statistics(archive)

    assert (row["versions"], row["absent"], row["removed"]) == (3, 3, 4 + 4 + 8)
    assert row["stored"] == 102


def test_a_fetch_that_lies_in_two_segments_counts_once(archive):
    payload = make_payload(b"a")
    archive.append_all(FEED, [payload])
    archive.append_all(FEED, [payload])

    (row,) = statistics(archive)

    assert (row["segments"], row["fetches"], row["statuses"]) == (2, 1, {"200": 1})


def test_the_command_prints_a_feed_s_numbers(archive, capsys):
    fill(archive)

    call_command("archive", "stats", FEED)
    call_command("archive", "stats", "--json")

    printed = capsys.readouterr().out
    text, _, exact = printed.partition("[\n")
    assert "fetches   6 of 2 requests, 2 failed" in text
    assert "statuses  200: 3, 304: 1, 404: 1, none: 1" in text
    assert json.loads(f"[{exact}")[0]["fetches"] == 6


def test_the_command_names_a_damaged_segment_and_counts_the_rest(archive, capsys):
    fill(archive)
    archive.append_all(FEED, [make_payload(b"d", minute=30)])
    path = Path(archive.url) / archive.segments()[0].path
    path.write_bytes(b"nonsense")

    with pytest.raises(CommandError, match="1 segments could not be read"):
        call_command("archive", "stats")

    printed = capsys.readouterr()
    assert "fetches   1 of 1 requests" in printed.out
    assert path.name in printed.err


def test_the_command_says_when_there_is_nothing_yet(archive, capsys):
    call_command("archive", "stats")

    assert "Nothing is archived yet" in capsys.readouterr().out
