"""Look-ups: all fetches of a URL and its latest version, wherever they lie."""

import dataclasses
import io
import json
import random

import pyarrow.parquet as pq
import pytest
from django.core.management import call_command

from raw_store.errors import SegmentCorrupt
from raw_store.models import LatestVersion, SegmentKeys
from raw_store.open_segment import SealLimits
from raw_store.payload import request_key

from .conftest import FEED, URL, make_payload

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = "https://example.org/other.json"


def test_fetches_come_in_the_order_of_time_and_say_what_they_found(archive):
    archive.append_all(FEED, [make_payload(b"b", minute=5), make_payload(b"b", minute=6)])
    archive.append_all(
        FEED,
        [
            make_payload(b"a", minute=1),
            make_payload(b"a", minute=2),
            make_payload(b"oops", minute=3, status=500),
            make_payload(b"", minute=4, status=404),
            make_payload(b"else", minute=4, url=OTHER),
            make_payload(b"b", minute=7, status=404),
            make_payload(b"b", minute=8),
        ],
    )

    found = archive.fetches(URL)

    assert [(each.fetched_at.minute, each.status, each.says) for each in found] == [
        (1, 200, "version"),
        (2, 200, "unchanged"),
        (3, 500, None),
        (4, 404, "gone"),
        (5, 200, "version"),
        (6, 200, "unchanged"),
        (7, 404, "gone"),
        (8, 200, "version"),
    ]
    assert [each.is_revisit for each in found] == [
        False,
        True,
        False,
        False,
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("then", [[], ["compact"], ["reindex"], ["compact", "reindex"]])
def test_a_look_up_finds_what_a_scan_finds(archive, then):
    chance = random.Random(1)
    urls = [f"https://example.org/{n}" for n in range(40)]
    payloads = [
        make_payload(b"%d" % chance.randrange(3), minute=n, url=chance.choice(urls))
        for n in range(500)
    ]
    archive.append_all(FEED, payloads, limits=SealLimits(rows=70))
    for step in then:
        getattr(archive, step)()

    for url in [*urls, "https://example.org/never"]:
        expected = sorted(row.fetch_id for row in archive.scan(bodies=False) if row.url == url)
        assert [each.fetch_id for each in archive.fetches(url)] == expected


def test_a_url_is_found_by_its_canonical_form_and_by_method(archive):
    archive.append_all(FEED, [make_payload(b"a", url="https://example.org/day.json?a=1&b=2")])

    assert len(archive.fetches("HTTPS://Example.org:443/day.json?b=2&a=1#top")) == 1
    assert archive.fetches("https://example.org/day.json?a=1&b=2", method="POST") == []


def test_a_request_that_is_more_than_its_url_is_found_by_its_key(archive):
    key = request_key("POST", URL, b"query")
    archive.append_all(
        FEED, [dataclasses.replace(make_payload(b"a"), method="POST", request_key=key)]
    )

    assert archive.fetches(URL, method="POST") == []
    assert [each.method for each in archive.fetches(URL, key=key)] == ["POST"]
    assert archive.latest(URL, key=key) is not None


def test_keys_that_begin_alike_are_told_apart(archive):
    keys = ["0123456789abcdef" + tail * 48 for tail in "ab"]
    payloads = [
        dataclasses.replace(make_payload(b"x", minute=n), request_key=key)
        for n, key in enumerate(keys)
    ]
    archive.append_all(FEED, payloads)

    for payload in payloads:
        (found,) = archive.fetches(URL, key=payload.request_key)
        assert found.fetch_id == payload.fetch_id


def test_fetches_of_several_feeds_are_judged_apart(archive):
    archive.append_all(FEED, [make_payload(b"a", minute=1)])
    archive.append_all("fx.daily", [make_payload(b"a", minute=2, feed="fx.daily")])

    assert [(each.feed, each.says) for each in archive.fetches(URL)] == [
        (FEED, "version"),
        ("fx.daily", "version"),
    ]
    assert [each.feed for each in archive.fetches(URL, feed="fx.daily")] == ["fx.daily"]


def test_the_latest_version_is_the_newest_of_any_feed(archive):
    archive.append_all(
        FEED, [make_payload(b"a", minute=9), make_payload(b"", minute=10, status=404)]
    )
    archive.append_all("fx.daily", [make_payload(b"b", minute=2, feed="fx.daily")])

    latest = archive.latest(URL)

    assert latest is not None
    assert archive.read(latest.fetch_id).body == b"a"
    assert archive.latest(URL, feed="fx.daily").fetched_at.minute == 2
    assert archive.latest(OTHER) is None


def test_the_newest_fetch_stays_the_latest_in_whatever_order_they_arrive(archive):
    minutes = [3, 1, 4.5, 4, 0, 2]
    for minute in minutes:
        archive.append_all(FEED, [make_payload(b"%d" % (2 * minute), minute=minute)])

    assert LatestVersion.objects.get().fetch_id == make_payload(b"", minute=4.5).fetch_id


def test_a_segment_whose_keys_the_index_lacks_is_read(archive):
    archive.append_all(FEED, [make_payload(b"a"), make_payload(b"b", minute=1, url=OTHER)])
    SegmentKeys.objects.all().delete()

    assert len(archive.fetches(URL)) == 1


def test_bodies_are_not_read(archive, tmp_path):
    archive.append_all(FEED, [make_payload(b"a" * 100)])
    (segment,) = archive.segments()
    path = tmp_path / "archive" / segment.path
    described = pq.ParquetFile(path).metadata.row_group(0)
    (body,) = (
        column
        for column in map(described.column, range(described.num_columns))
        if column.path_in_schema == "body"
    )
    raw = bytearray(path.read_bytes())
    raw[body.data_page_offset + body.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(raw)

    assert len(archive.fetches(URL)) == 1
    with pytest.raises(SegmentCorrupt):
        list(archive.scan())


def test_in_a_compacted_segment_only_the_row_groups_of_the_request_are_read(archive, tmp_path):
    urls = [f"https://example.org/{n}" for n in range(4_200)]
    archive.append_all(FEED, [make_payload(b"", minute=n, url=url) for n, url in enumerate(urls)])
    archive.compact()
    (segment,) = archive.segments()
    path = tmp_path / "archive" / segment.path
    described = pq.ParquetFile(path).metadata.row_group(1)
    raw = bytearray(path.read_bytes())
    for number in range(described.num_columns):
        chunk = described.column(number)
        begin = chunk.dictionary_page_offset or chunk.data_page_offset
        raw[begin + chunk.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(raw)
    by_key = sorted(urls, key=lambda url: request_key("GET", url))

    assert len(archive.fetches(by_key[0])) == 1
    with pytest.raises(SegmentCorrupt):
        archive.fetches(by_key[-1])


def test_a_segment_that_cannot_be_read_is_named(archive, tmp_path):
    archive.append_all(FEED, [make_payload(b"a")])
    archive.append_all(FEED, [make_payload(b"b", minute=1)])
    lost, _ = archive.segments()
    (tmp_path / "archive" / lost.path).unlink()
    errors: list[SegmentCorrupt] = []

    found = archive.fetches(URL, on_damaged=errors.append)

    assert [each.fetched_at.minute for each in found] == [1]
    assert lost.name in str(errors[0])
    with pytest.raises(SegmentCorrupt, match=lost.name):
        archive.fetches(URL)


def test_history_prints_every_fetch_and_the_latest(archive, settings):
    settings.ARCHIVE_URL = archive.url
    archive.append_all(FEED, [make_payload(b"a"), make_payload(b"a", minute=1)])

    lines = printed("history", URL).splitlines()
    as_json = json.loads(printed("history", URL, "--json"))
    (latest,) = json.loads(printed("history", URL, "--latest", "--json"))

    assert lines[0].split()[:3] == ["fetched_at", "status", "says"]
    assert [line.split()[2] for line in lines[1:]] == ["version", "unchanged"]
    assert [row["body_size"] for row in as_json] == [1, 1]
    assert latest["fetch_id"] == as_json[1]["fetch_id"]


def test_history_of_an_unknown_url_says_how_to_find_it(archive, settings):
    settings.ARCHIVE_URL = archive.url

    assert "--key" in printed("history", URL)


def printed(*arguments: str) -> str:
    out = io.StringIO()
    call_command("archive", *arguments, stdout=out)
    return out.getvalue()
