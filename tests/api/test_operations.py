"""What the program tells of itself."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from ingest.models import FeedStatus, Run, Watermark
from reshape.models import HeldRow, QuarantineEntry

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def runs(db):
    runs = [
        Run.objects.create(
            id=UUID(int=number),
            feed=feed,
            started_at=MOMENT,
            heartbeat_at=MOMENT,
            outcome="complete",
            payload_count=number,
            traceback="private",
            machine="private",
            pid=1,
        )
        for number, feed in enumerate(["sample.pages", "sample.pages", "sample.loans"])
    ]
    FeedStatus.objects.create(feed="sample.pages", last_run=runs[1], next_run_at=MOMENT)
    Watermark.objects.create(
        feed="sample.pages", partition="", value={"page": 2}, run_id=runs[1].id, advanced_at=MOMENT
    )
    return runs


def test_feeds_tell_their_schedule_and_where_they_stand(ask, runs):
    answer = ask(
        """{ feeds(source: "sample") {
            name source current schedule nextRunAt lastRun { payloadCount } runsCount
            watermarks { partition value } consecutiveFailures lastError
        } }"""
    )

    assert [feed["name"] for feed in answer["feeds"]] == [
        "sample.catalogue",
        "sample.loans",
        "sample.pages",
    ]
    assert answer["feeds"][2] == {
        "name": "sample.pages",
        "source": "sample",
        "current": "latest",
        "schedule": "by hand",
        "nextRunAt": "2026-01-01T00:00:00+00:00",
        "lastRun": {"payloadCount": 1},
        "runsCount": 2,
        "watermarks": [{"partition": "", "value": {"page": 2}}],
        "consecutiveFailures": 0,
        "lastError": "",
    }
    assert answer["feeds"][1]["lastRun"] is None


def test_feeds_are_read_together(ask, runs, django_assert_num_queries):
    with django_assert_num_queries(4):
        ask("{ feeds { lastRun { id } runs { id } watermarks { value } } }")


def test_feeds_come_in_pages_and_one_by_one(ask, db):
    answer = ask(
        """{ feeds(source: "sample", pagination: {offset: 1, limit: 1}) { name }
             feedsCount(source: "sample")
             feed(name: "sample.loans") { current }
             none: feed(name: "sample.nothing") { current } }"""
    )

    assert answer == {
        "feeds": [{"name": "sample.loans"}],
        "feedsCount": 3,
        "feed": {"current": "all"},
        "none": None,
    }


def test_runs_are_filtered_and_ordered_like_any_list(ask, runs):
    answer = ask(
        """{ runs(filters: {feed: {exact: "sample.pages"}}, order: {payloadCount: DESC}) { id }
             runsCount }"""
    )

    assert [run["id"][-1] for run in answer["runs"]] == ["1", "0"]
    assert answer["runsCount"] == 3


def test_a_run_does_not_tell_of_the_machine(ask, db):
    answer = ask('{ __type(name: "Run") { fields { name } } }')

    names = {field["name"] for field in answer["__type"]["fields"]}
    assert "outcome" in names
    assert not names & {"traceback", "machine", "pid"}


def test_quarantine_and_held_rows_are_listed(ask, db):
    QuarantineEntry.objects.create(
        transform="sample.transform_pages",
        fetch_id=UUID(int=3),
        source="sample",
        feed="sample.pages",
        url="http://library.example/",
        fetched_at=MOMENT,
        error="KeyError",
        message="no title",
    )
    HeldRow.objects.create(
        model="sample.Book",
        key='["b1"]',
        field="author",
        target='["zoe"]',
        source="sample",
        fetch_id=UUID(int=3),
    )

    answer = ask(
        """{ quarantineEntries(filters: {error: {exact: "KeyError"}}) { message payload { url } }
             heldRows { key target payload { url } } heldRowsCount }"""
    )

    assert answer == {
        "quarantineEntries": [{"message": "no title", "payload": None}],
        "heldRows": [{"key": '["b1"]', "target": '["zoe"]', "payload": None}],
        "heldRowsCount": 1,
    }
