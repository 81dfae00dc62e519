"""Payloads appended are found again: by scan, by id, as captures."""

from datetime import timedelta

import pytest

from raw_store.errors import PayloadInvalid, PayloadNotFound, SegmentCorrupt
from raw_store.ids import new_id
from raw_store.models import LatestVersion
from raw_store.open_segment import OpenSegment, SealLimits
from raw_store.writer import ask_index

from .conftest import FEED, NOON, make_payload, run_id


def test_scan_gives_payloads_in_the_order_archived(archive):
    payloads = [make_payload(b"%d" % minute, minute=minute) for minute in (5, 1, 3)]

    archive.append_all(FEED, payloads)

    assert [payload.body for payload in archive.scan(FEED)] == [b"5", b"1", b"3"]


def test_scan_is_bounded_by_time_of_fetch(archive):
    archive.append_all(FEED, [make_payload(b"%d" % minute, minute=minute) for minute in range(6)])

    found = archive.scan(FEED, since=NOON + timedelta(minutes=2), until=NOON + timedelta(minutes=4))

    assert [payload.body for payload in found] == [b"2", b"3"]


def test_a_fetch_archived_twice_is_given_once(archive):
    payload = make_payload(b"1", status=500)
    archive.append_all(FEED, [payload, make_payload(b"2", minute=1)])
    archive.append_all(FEED, [payload])

    found = list(archive.scan(FEED))

    assert [payload.body for payload in found] == [b"1", b"2"]
    assert archive.captures(FEED)["fetch_id"].to_pylist() == [str(row.fetch_id) for row in found]


def test_an_unchanged_body_is_stored_once_and_read_through_its_holder(archive):
    first, second = make_payload(b"same"), make_payload(b"same", minute=1)
    archive.append_all(FEED, [first])
    archive.append_all(FEED, [second])

    stored = list(archive.scan(FEED))

    assert [row.body for row in stored] == [b"same", None]
    assert stored[1].payload_id == first.fetch_id
    assert stored[1].body_digest == stored[0].body_digest
    assert archive.read(second.fetch_id).body == b"same"


def test_an_unchanged_body_in_the_open_segment_is_a_revisit_too(archive):
    archive.append_all(
        FEED, [make_payload(b"a"), make_payload(b"a", minute=1), make_payload(b"b", minute=2)]
    )

    assert [row.body for row in archive.scan(FEED)] == [b"a", None, b"b"]


def test_a_304_carries_the_digest_and_holder_of_the_version_it_confirms(archive):
    version = make_payload(b"a", headers=(("ETag", '"1"'),))
    confirmation = make_payload(
        None, minute=1, status=304, request_headers=(("If-None-Match", '"1"'),)
    )

    archive.append_all(FEED, [version, confirmation])

    row = archive.read(confirmation.fetch_id)
    assert row.status == 304
    assert row.body == b"a"
    assert (row.payload_id, row.body_digest) == (
        version.fetch_id,
        archive.read(version.fetch_id).body_digest,
    )


def test_a_304_to_a_validator_of_no_known_version_confirms_nothing(archive):
    version = make_payload(b"a", headers=(("ETag", '"1"'),))
    stray = make_payload(None, minute=1, status=304, request_headers=(("If-None-Match", '"0"'),))

    archive.append_all(FEED, [version, stray])

    row = archive.read(stray.fetch_id)
    assert (row.payload_id, row.body_digest, row.body) == (None, None, None)


def test_a_304_may_confirm_a_version_that_another_process_archived_meanwhile(archive):
    writer = archive.sync_writer(FEED)
    writer.append(make_payload(b"a", headers=(("ETag", '"1"'),)))
    writer.seal()
    newer = make_payload(b"b", minute=1, headers=(("ETag", '"2"'),))
    archive.append_all(FEED, [newer])

    row = writer.append(
        make_payload(None, minute=2, status=304, request_headers=(("If-None-Match", '"2"'),))
    )

    assert row.payload_id == newer.fetch_id


def test_more_requests_than_are_remembered_still_give_revisits(archive):
    urls = [f"https://example.org/{n}" for n in range(30)]
    archive.append_all(FEED, [make_payload(b"a", url=url) for url in urls])
    forgetful = OpenSegment(archive.url, FEED, SealLimits(rows=5), remembered=10)

    again = []
    for url in (*urls, urls[0]):
        payload = make_payload(b"a", url=url, minute=1)
        if forgetful.needs_latest(payload):
            ask_index(forgetful, payload)
        again.append(forgetful.append(payload))

    assert [row.is_revisit for row in again] == [True] * 31


def test_a_failure_with_the_same_body_is_no_revisit(archive):
    archive.append_all(FEED, [make_payload(b"x"), make_payload(b"x", minute=1, status=500)])

    assert [row.body for row in archive.scan(FEED)] == [b"x", b"x"]


def test_older_history_leaves_the_latest_version_alone(archive):
    archive.append_all(FEED, [make_payload(b"new", minute=10)])

    archive.append_all(FEED, [make_payload(b"old", minute=1)])

    latest = LatestVersion.objects.get()
    assert latest.payload_id == make_payload(b"new", minute=10).fetch_id


def test_read_many_leaves_unknown_ids_out(archive):
    payloads = [make_payload(b"%d" % minute, minute=minute) for minute in range(600)]
    archive.append_all(FEED, payloads, limits=SealLimits(rows=250))
    wanted = [payloads[0].fetch_id, payloads[300].fetch_id, payloads[599].fetch_id]

    found = archive.read_many([*wanted, new_id()])

    assert {key: row.body for key, row in found.items()} == dict(
        zip(wanted, [b"0", b"300", b"599"], strict=True)
    )


def test_reading_an_unknown_id_says_so(archive):
    with pytest.raises(PayloadNotFound, match="archive list"):
        archive.read(new_id())


def test_captures_tell_own_bodies_and_complete_runs(archive):
    archive.append_all(FEED, [make_payload(b"a", run="one")], complete_runs=True)
    archive.append_all(FEED, [make_payload(b"a", minute=1, run="two")])

    table = archive.captures(FEED).select(["run_id", "has_body", "run_is_complete"])

    assert table.to_pylist() == [
        {"run_id": str(run_id("one")), "has_body": True, "run_is_complete": True},
        {"run_id": str(run_id("two")), "has_body": False, "run_is_complete": False},
    ]


def test_captures_follow_the_archive(archive):
    archive.append_all(FEED, [make_payload(b"a", run="one")])
    before = archive.captures(FEED)
    archive.append_all(FEED, [make_payload(b"b", minute=1, run="one")], complete_runs=True)

    after = archive.captures(FEED)

    assert before["run_is_complete"].to_pylist() == [False]
    assert after["run_is_complete"].to_pylist() == [True, True]


def test_a_damaged_segment_is_named_and_the_others_are_read(archive, tmp_path):
    archive.append_all(FEED, [make_payload(b"a")])
    archive.append_all(FEED, [make_payload(b"b", minute=1)])
    damaged, whole = archive.segments(FEED)
    path = tmp_path / "archive" / damaged.path
    path.write_bytes(path.read_bytes()[:-9])
    errors: list[SegmentCorrupt] = []

    found = list(archive.scan(FEED, on_damaged=errors.append))
    captures = archive.captures(FEED, on_damaged=errors.append)

    assert [row.body for row in found] == [b"b"]
    assert captures["segment"].to_pylist() == [whole.name]
    assert len(errors) == 2
    assert damaged.name in str(errors[0])
    with pytest.raises(SegmentCorrupt, match=damaged.name):
        list(archive.scan(FEED))
    with pytest.raises(SegmentCorrupt, match=damaged.name):
        archive.captures(FEED)


def test_a_payload_no_row_can_hold_is_refused_and_spares_its_neighbours(archive):
    writer = archive.sync_writer(FEED)
    writer.append(make_payload(b"a"))

    with pytest.raises(PayloadInvalid, match="UTF-8"):
        writer.append(make_payload(b"b", minute=1, error="\ud800"))
    writer.seal()

    assert [row.body for row in archive.scan()] == [b"a"]
