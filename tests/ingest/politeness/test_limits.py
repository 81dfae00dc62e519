"""How the rate of a host falls and rises with what it answers."""

import itertools
import random
from datetime import UTC, datetime

import pytest

from ingest.politeness.limits import RECOVERY_SECONDS, SLOWEST, Declared, Limits
from ingest.politeness.retry_after import pause_asked

NOW = 1_900_000_000.0


def test_a_storm_of_complaints_lowers_the_rate_and_never_raises_it():
    limits, now = Limits(), NOW
    rates: list[float] = []
    chance = random.Random(1)

    for _ in range(200):
        now += chance.choice([0.001, 1.0, 500.0])
        limits = limits.slowed(sent_at=now - 0.0005, observed=chance.uniform(0.1, 500), now=now)
        rates.append(limits.rate or 0.0)

    assert all(later <= earlier for earlier, later in itertools.pairwise(rates))
    assert rates[-1] == SLOWEST


def test_answers_to_what_was_under_way_lower_it_once():
    limits = Limits().slowed(sent_at=NOW - 1, observed=100.0, now=NOW)

    again = limits.slowed(sent_at=NOW - 0.5, observed=100.0, now=NOW + 0.1)

    assert limits.rate == 50.0
    assert again == limits


def test_it_recovers_slowly_and_only_with_success():
    limits = Limits().slowed(sent_at=NOW - 1, observed=100.0, now=NOW)
    early = limits.recovered(NOW + RECOVERY_SECONDS / 2)
    once = limits.recovered(NOW + RECOVERY_SECONDS)
    steps, now = 0, NOW

    while limits.rate is not None:
        now += RECOVERY_SECONDS
        limits = limits.recovered(now)
        steps += 1

    assert early.rate == 50.0
    assert once.rate == pytest.approx(55.0)
    assert steps == 8


def test_the_strictest_declaration_counts_and_an_operator_overrules_it():
    feeds = {"a.b": Declared(rate=5.0, concurrency=3), "c.d": Declared(rate=2.0, concurrency=6)}
    declared = Limits(declared=feeds)
    overruled = Limits(declared=feeds, set_rate=50.0, set_concurrency=20)

    assert (declared.effective_rate(NOW), declared.concurrency()) == (2.0, 3)
    assert (overruled.effective_rate(NOW), overruled.concurrency()) == (50.0, 20)
    assert Limits().concurrency() == 8


def test_a_crawl_delay_and_a_quota_bind_beside_the_others():
    limits = Limits(crawl_delay=4.0, quota_rate=0.1, quota_until=NOW + 10)

    assert limits.gap(NOW) == 10.0
    assert limits.gap(NOW + 11) == 4.0


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 20 Nov 1995 19:12:08 +99999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
    ],
)
def test_a_date_that_nobody_can_mean_asks_for_no_pause(date):
    assert pause_asked(503, {"retry-after": date}, datetime.now(UTC)) is None
    assert pause_asked(503, {"retry-after": "7", "date": date}, datetime.now(UTC)) == 7
