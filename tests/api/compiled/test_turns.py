"""Short reads of SQLite come one after the other; a long one holds nobody up."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from api.compiled.turns import Turns


@pytest.fixture
def threads():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_short_reads_never_overlap(threads):
    turns, reading, together = Turns(quick_seconds=30, longest_wait=30), [], Barrier(8)

    def read(number):
        together.wait()
        with turns.turn():
            reading.append(number)
            alone = reading == [number]
            reading.remove(number)
        return alone

    for _ in range(50):
        assert all(threads.map(read, range(8)))


def test_one_that_takes_long_is_not_waited_for(threads):
    turns, is_reading, may_end = Turns(quick_seconds=0.01, longest_wait=30), Event(), Event()

    def read_long():
        with turns.turn():
            is_reading.set()
            assert may_end.wait(30)

    long = threads.submit(read_long)
    assert is_reading.wait(30)
    with turns.turn():
        was_overtaken = not long.done()
    may_end.set()

    assert was_overtaken
    long.result()


def test_a_read_that_fails_gives_its_turn_back():
    turns = Turns(quick_seconds=30, longest_wait=30)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError), turns.turn():
            1 / 0  # noqa: B018

    assert turns._lock.acquire(blocking=False)
