"""What the database hands out to processes: slots and spans."""

from uuid import UUID

import pytest

from ingest.models import HostLease, HostState
from ingest.politeness.limits import Declared
from ingest.politeness.store import LEASE_SECONDS, Store, fair_share

HOST = "pears.example"

pytestmark = pytest.mark.usefixtures("transactional_db")


class Clock:
    now = 1_900_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def process(clock):
    """A process of another machine each time."""

    def begin(number):
        return Store(
            UUID(int=number), concurrency=8, clock=clock, living=set, machine=f"machine-{number}"
        )

    return begin


def test_one_process_has_all_slots_and_two_share_them(process):
    first, second = process(1), process(2)

    alone = first.claim(HOST, held=0)
    refused = second.claim(HOST, held=0)
    shrunk = first.renew({HOST: 8})[HOST]
    first.renew({HOST: 4})
    grown = second.renew({HOST: 0})[HOST]

    assert (alone.slots, refused.slots, shrunk.slots, grown.slots) == (8, 0, 4, 4)
    assert (alone.is_shared, refused.is_shared) == (False, True)


def test_slots_in_use_are_not_given_to_others(process):
    first, second = process(1), process(2)
    first.claim(HOST, held=0)
    second.claim(HOST, held=0)

    first.renew({HOST: 7})

    assert second.renew({HOST: 0})[HOST].slots == 1


def test_the_slots_of_a_process_that_vanished_are_free_when_its_lease_is_over(process, clock):
    process(1).claim(HOST, held=0)
    clock.now += LEASE_SECONDS - 1
    early = process(2).claim(HOST, held=0)
    clock.now += 2

    late = process(2).claim(HOST, held=0)

    assert (early.slots, late.slots) == (0, 8)


def test_a_lease_that_is_over_is_not_renewed(process, clock):
    first = process(1)
    first.claim(HOST, held=0)
    clock.now += LEASE_SECONDS + 1
    process(2).claim(HOST, held=0)

    assert first.renew({HOST: 8}) == {}


def test_a_process_that_is_dead_on_this_machine_leaves_its_slots_at_once(clock):
    dead = Store(UUID(int=1), concurrency=8, clock=clock, living=set)
    dead.claim(HOST, held=0)

    successor = Store(UUID(int=2), concurrency=8, clock=clock, living=set)

    assert successor.claim(HOST, held=0).slots == 8
    assert HostLease.objects.count() == 1


def test_what_is_let_go_is_gone(process):
    first = process(1)
    first.claim(HOST, held=0)

    first.renew({}, released=[HOST])

    assert not HostLease.objects.exists()


def test_spans_of_two_processes_never_overlap(process):
    first, second = process(1), process(2)
    slow = {"orchard.pages": Declared(rate=10.0)}
    first.claim(HOST, held=0, declared=slow)

    booked = [
        each.book(HOST, requests=5, slack=0.05, last_sent=0.0, previous=None)[1]
        for each in (first, second, first)
    ]

    assert booked[0].end <= booked[1].start
    assert booked[1].end <= booked[2].start
    assert booked[0].end - booked[0].start >= 0.5


def test_a_process_alone_goes_on_where_it_was(process, clock):
    first = process(1)
    first.claim(HOST, held=0, declared={"orchard.pages": Declared(rate=10.0)})
    span = first.book(HOST, requests=1, slack=3.0, last_sent=0.0, previous=None)[1]

    following = first.book(
        HOST, requests=1, slack=3.0, last_sent=clock.now, previous=span
    )[1]  # fmt: skip

    assert following.start == pytest.approx(clock.now + 0.1)


def test_no_span_is_booked_without_a_rate_or_in_a_pause(process, clock):
    first = process(1)
    first.claim(HOST, held=0)
    free = first.book(HOST, requests=1, slack=0.1, last_sent=0.0, previous=None)
    first.change(HOST, lambda limits: limits.parked(clock.now + 60, "answered 429"))
    first.claim(HOST, held=0, declared={"orchard.pages": Declared(rate=10.0)})

    parked = first.book(HOST, requests=1, slack=0.1, last_sent=0.0, previous=None)

    assert (free[1], parked[1]) == (None, None)
    assert HostState.objects.get(host=HOST).reason == "answered 429"


def test_a_shorter_pause_does_not_shorten_a_longer_one(process, clock):
    first = process(1)
    first.change(HOST, lambda limits: limits.parked(clock.now + 60, "answered 429"))

    after = first.change(HOST, lambda limits: limits.parked(clock.now + 5, "answered 503"))

    assert (after.not_before, after.reason) == (clock.now + 60, "answered 429")


def test_shares_add_up_and_take_turns_where_there_are_too_few():
    for slots in (1, 2, 5, 8):
        for count in (1, 2, 3, 7):
            for now in (0.0, 10.0, 25.0):
                shares = [fair_share(slots, rank, count, now) for rank in range(count)]
                assert sum(shares) == slots
    assert {fair_share(1, 0, 2, now) for now in (0.0, 10.0)} == {0, 1}
