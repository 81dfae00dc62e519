"""When a feed runs next, over restarts, failures and missed hours; and on which shard."""

from datetime import UTC, datetime, timedelta

import pytest

from ingest import extractor, registry
from ingest.errors import ExtractorInvalid, ShardInvalid
from ingest.models import FeedStatus, Outcome, Run
from ingest.pace import Patience
from ingest.schedule import jitter, pause, plan, plan_after, resume
from ingest.shards import Shard

from .conftest import FEED

NOW = datetime.now(UTC)
RETRY = Patience(base=10.0, longest=3600.0)

pytestmark = pytest.mark.usefixtures("declared", "transactional_db")


def declare(name=FEED, **schedule):
    @extractor(name, **schedule)
    async def pages(client):
        pass

    return registry.get(name)


def set_next_run(moment):
    FeedStatus.objects.update_or_create(feed=FEED, defaults={"next_run_at": moment})


def ended(outcome=Outcome.COMPLETE, *, failures=0, resume_at=None):
    FeedStatus.objects.update_or_create(feed=FEED, defaults={"consecutive_failures": failures})
    return Run(feed=FEED, outcome=outcome, resume_at=resume_at)


def test_a_new_feed_runs_soon_but_feeds_do_not_start_all_at_once():
    feeds = [declare(f"orchard.feed_{number}", every="1h") for number in range(20)]

    delays = [plan(each, NOW) - NOW for each in feeds]

    assert len(set(delays)) == 20
    assert all(timedelta(0) <= delay <= timedelta(seconds=30) for delay in delays)
    assert max(delays) - min(delays) > timedelta(seconds=15)
    assert delays == [jitter(each) for each in feeds]


def test_a_restart_keeps_the_planned_time():
    set_next_run(NOW + timedelta(minutes=17))

    assert plan(declare(every="1h"), NOW) == NOW + timedelta(minutes=17)


def test_a_missed_run_is_made_up_for_once():
    set_next_run(NOW - timedelta(days=3))
    feed = declare(every="1h")

    assert plan(feed, NOW) == NOW + jitter(feed)


def test_a_shortened_schedule_counts_at_once():
    set_next_run(NOW + timedelta(days=1))

    assert plan(declare(every="5m"), NOW) == NOW + timedelta(minutes=5)


def test_a_new_cron_feed_waits_for_its_hour():
    feed = declare(cron="30 15 * * *")
    expected = NOW.replace(hour=15, minute=30, second=0, microsecond=0)

    if expected <= NOW:
        expected += timedelta(days=1)

    assert plan(feed, NOW) == expected + jitter(feed)


def test_an_interval_keeps_its_rhythm_and_skips_what_it_missed():
    feed = declare(every="10m")
    due = datetime.now(UTC) - timedelta(minutes=25)

    following = plan_after(feed, ended(), due)

    assert following == due + timedelta(minutes=30)
    assert FeedStatus.objects.get(feed=FEED).next_run_at == following


@pytest.mark.parametrize(
    ("failures", "shortest", "longest"), [(1, 5, 10), (3, 20, 40), (30, 300, 300)]
)
def test_a_failed_feed_is_tried_again_with_growing_pauses(failures, shortest, longest):
    feed = declare(every="1m")

    following = plan_after(feed, ended(Outcome.FAILED, failures=failures), NOW, retry=RETRY)
    pause = (following - datetime.now(UTC)).total_seconds()

    assert shortest - 5 <= pause <= longest


def test_a_host_that_asked_for_a_pause_is_not_asked_before():
    until = NOW + timedelta(hours=5)

    following = plan_after(
        declare(every="1m"), ended(Outcome.FAILED, failures=1, resume_at=until), NOW, retry=RETRY
    )

    assert following == until


def test_every_source_has_one_owner_and_few_move_when_a_shard_is_added():
    sources = [f"source_{number}" for number in range(400)]

    def owners(count):
        return [
            [index for index in range(1, count + 1) if Shard(index, count).owns(source)]
            for source in sources
        ]

    four, five = owners(4), owners(5)
    moved = sum(before != after for before, after in zip(four, five, strict=True))

    assert all(len(each) == 1 for each in four)
    assert {owner for (owner,) in four} == {1, 2, 3, 4}
    assert moved < 400 / 5 * 1.5
    assert all(after == [5] for before, after in zip(four, five, strict=True) if before != after)


def test_the_share_is_the_same_in_every_process():
    sources = ["farm", "fx", "quakes", "weather"]

    assert [source for source in sources if Shard.parse(" 1/2").owns(source)] == [
        "quakes",
        "weather",
    ]
    assert all(Shard.parse("").owns(source) for source in sources)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(ShardInvalid, match="write 1/4, 2/4, 3/4 and 4/4"):
        Shard.parse(text)


def test_a_clock_that_is_put_forward_or_back_loses_and_repeats_no_run():
    feed = declare(cron="30 2 * * *", timezone="Europe/Berlin")
    moment, days = datetime(2026, 3, 27, tzinfo=UTC), []
    for _ in range(4):
        moment = feed.next_after(moment)
        days.append(moment)
    autumn, nights = datetime(2026, 10, 23, 12, tzinfo=UTC), []
    for _ in range(4):
        autumn = feed.next_after(autumn)
        nights.append(autumn)

    # In the night of 29 March there is no 02:30; it runs as soon as the clock was put forward.
    assert [(each.day, each.hour, each.minute) for each in days] == [
        (27, 1, 30), (28, 1, 30), (29, 1, 0), (30, 0, 30),
    ]  # fmt: skip
    # In the night of 25 October there are two; one of them counts.
    assert [each.day for each in nights] == [24, 25, 26, 27]


def test_within_a_repeated_hour_the_next_run_lies_ahead():
    feed = declare(cron="30 2 * * *", timezone="Europe/Berlin")
    again_two_o_clock = datetime(2026, 10, 25, 1, 5, tzinfo=UTC)

    assert feed.next_after(again_two_o_clock) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_missed_runs_can_be_skipped():
    set_next_run(NOW - timedelta(minutes=25))

    assert plan(declare(every="10m", catch_up="skip"), NOW) == NOW + timedelta(minutes=5)


def test_each_missed_run_can_be_made_up_for():
    due = NOW - timedelta(minutes=25)
    set_next_run(due)
    feed = declare(every="10m", catch_up="all")
    planned = [plan(feed, NOW)]

    for _ in range(3):
        planned.append(plan_after(feed, ended(), planned[-1]))

    assert planned == [due + timedelta(minutes=10 * number) for number in range(4)]


def test_a_paused_feed_makes_up_for_what_it_missed_when_it_is_resumed():
    set_next_run(NOW - timedelta(hours=2))
    feed = declare(every="1h")
    pause(FEED, NOW - timedelta(hours=3))
    pause(FEED, NOW)
    paused_at = FeedStatus.objects.get().paused_at

    due = resume(feed, NOW)

    assert paused_at == NOW - timedelta(hours=3)
    assert due == NOW + jitter(feed)
    assert FeedStatus.objects.get().paused_at is None


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"cron": "1 1 * * *", "timezone": "Europe/Nowhere"}, "is no time zone"),
        ({"every": "1h", "timezone": "Europe/Berlin"}, "without cron="),
        ({"every": "1h", "catch_up": "perhaps"}, "none of skip, once and all"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(schedule, message):
    with pytest.raises(ExtractorInvalid, match=message):
        declare(**schedule)


def test_a_feed_belongs_to_the_shard_of_its_host():
    here = declare("orchard.here", every="1h", host="API.example")
    there = declare("vineyard.there", every="1h", host="api.example")

    assert here.shard_key == there.shard_key == "api.example"
    assert declare("orchard.other", every="1h").shard_key == "orchard"
