"""The outbox: which ends of runs are told to whom; what cannot be told now is told later."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from ingest.models import Notice
from ingest.notices.outbox import add_rows, deliver_due

from .conftest import FEED


@pytest.fixture
def told(settings, inbox):
    """Let one webhook be told; gives what it is sent."""

    def configure(options=""):
        settings.NOTICES = f"{inbox.url}/hook{options}"
        return inbox

    return configure


def events():
    return list(Notice.objects.order_by("created_at").values_list("event", flat=True))


def test_without_channels_nothing_is_noted(end_run, settings):
    settings.NOTICES = ""

    end_run("broken")

    assert events() == []


def test_a_failure_is_told_once_and_then_that_it_is_over(end_run, told):
    inbox = told()

    for error in (None, "no such key", "no such key", "no such key", None, None):
        end_run(error)
    deliver_due(also_waiting=True)

    assert events() == ["failed", "recovered"]
    assert b"orchard.pages failed: The extractor raised ValueError: no such key" in inbox.got[0][2]
    assert b"orchard.pages recovered after 3 failures: 31 payloads" in inbox.got[1][2]


def test_a_feed_that_goes_on_failing_is_told_of_again_after_hours(end_run, told):
    told()

    end_run("broken")
    Notice.objects.update(created_at=timezone.now() - timedelta(hours=7))
    end_run("broken")
    end_run("broken")

    assert [notice.failure_count for notice in Notice.objects.order_by("created_at")] == [1, 2]


def test_who_asks_for_finished_runs_hears_of_each_and_of_a_recovery_once(end_run, told):
    told("#on=finished")

    for error in (None, "broken", None):
        end_run(error)

    assert events() == ["finished", "finished"]


def test_who_asks_for_one_source_hears_of_no_other(end_run, told):
    told("#source=meadow")

    end_run("broken")

    assert events() == []


def test_a_finished_run_is_told_of_with_what_the_replay_changed(end_run, told):
    inbox = told("#on=finished")

    end_run()
    before = deliver_due()
    add_rows("orchard", {"new": 12, "changed": 3, "gone": 1})
    after = deliver_due()

    assert (before, after) == (0, 1)
    assert b"rows: 12 new, 3 changed, 1 gone" in inbox.got[0][2]


def test_another_sources_replay_changes_no_notice(end_run, told):
    told("#on=finished")

    end_run()
    add_rows("orch", {"new": 1, "changed": 0, "gone": 0})

    assert Notice.objects.get().rows is None


def test_a_channel_that_is_away_is_told_later(end_run, told):
    inbox = told()
    inbox.status = 500

    end_run("broken")
    assert deliver_due() == 0
    waiting = Notice.objects.get()
    inbox.status = 204
    soon = deliver_due()
    Notice.objects.update(not_before=timezone.now())
    later = deliver_due()

    assert (waiting.error, waiting.delivered_at, waiting.given_up_at) == (
        "answered 500",
        None,
        None,
    )
    assert waiting.not_before > datetime.now(UTC) + timedelta(seconds=20)
    assert (soon, later) == (0, 1)
    assert Notice.objects.get().delivered_at is not None


def test_a_channel_that_asks_to_wait_is_left_alone_for_so_long(end_run, told):
    inbox = told()
    inbox.status, inbox.headers = 429, {"Retry-After": "900"}

    end_run("broken")
    deliver_due()

    assert Notice.objects.get().not_before > datetime.now(UTC) + timedelta(seconds=890)


def test_what_cannot_be_told_for_a_day_is_given_up_and_can_be_sent_again(end_run, told):
    inbox = told()
    inbox.status = 500
    end_run("broken")
    Notice.objects.update(created_at=timezone.now() - timedelta(days=2))

    deliver_due()
    given_up = Notice.objects.get().given_up_at
    inbox.status = 200
    call_command("notices", "retry")

    assert given_up is not None
    assert Notice.objects.get().delivered_at is not None


def test_two_that_deliver_at_once_tell_each_notice_once(end_run, told):
    inbox = told()
    end_run("broken")
    Notice.objects.update(claimed_until=timezone.now() + timedelta(minutes=1))

    while_claimed = deliver_due()
    Notice.objects.update(claimed_until=timezone.now() - timedelta(minutes=1))
    after_the_claimer_died = deliver_due()

    assert (while_claimed, after_the_claimer_died, len(inbox.got)) == (0, 1, 1)


def test_a_notice_to_a_channel_that_is_configured_no_longer_is_given_up(end_run, told, settings):
    told()
    end_run("broken")
    settings.NOTICES = ""

    deliver_due()

    assert Notice.objects.get().error == "NOTICES names this channel no longer"


def test_an_interrupted_run_tells_nobody(told, db):
    from ingest.models import FeedStatus, Outcome, Run
    from ingest.runs import mark_interrupted

    told("#on=failed,recovered,finished")
    long_ago = timezone.now() - timedelta(hours=1)
    run = Run.objects.create(
        feed=FEED, started_at=long_ago, heartbeat_at=long_ago, machine="elsewhere", pid=1
    )
    FeedStatus.objects.create(feed=FEED, last_run=run)

    mark_interrupted()

    assert Run.objects.get().outcome == Outcome.INTERRUPTED
    assert events() == []


def test_the_command_tests_every_channel_and_fails_where_one_is_not_reached(
    told, settings, capsys, db
):
    inbox = told()
    settings.NOTICES += " http://127.0.0.1:9/nobody"

    with pytest.raises(CommandError, match="1 of 2 channels"):
        call_command("notices", "test")
    said = capsys.readouterr().out

    assert "delivered" in said
    assert "given up: not sent: ConnectError" in said
    assert b"This is a test" in inbox.got[0][2]


def test_the_command_lists_who_is_told_what_and_what_became_of_it(end_run, told, capsys):
    inbox = told("?key=secret-in-the-address")
    inbox.status = 500
    end_run("broken")
    deliver_due()

    call_command("notices", "list")
    said = capsys.readouterr().out

    assert "failed, recovered" in said
    assert "orchard.pages failed  waiting: answered 500" in said
    assert "secret-in-the-address" not in said + str(Notice.objects.get().channel)
