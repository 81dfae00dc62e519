"""The threads that operations read in: who works next, and how they end."""

import threading
import time

import pytest

from api.compiled.threads import Threads


@pytest.fixture
def threads():
    ended: list[str] = []

    def at_end():
        ended.append(threading.current_thread().name)

    found = Threads(3, "test", at_end=at_end)
    yield found, ended
    if not found._is_over:
        found.shutdown()


def idle(threads, count):
    until = time.monotonic() + 10
    while len(threads._idle) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_the_thread_that_worked_last_works_next(threads):
    found, _ = threads
    names: list[str] = []
    together = threading.Barrier(3)

    def all_at_once():
        together.wait(10)

    for _ in range(3):
        found.submit(all_at_once)
    idle(found, 3)
    for _ in range(5):
        found.submit(lambda: names.append(threading.current_thread().name))
        idle(found, 3)

    assert len(set(names)) == 1


def test_no_more_threads_than_may_be_and_nothing_is_lost(threads):
    found, ended = threads
    at_work = 0
    most = 0
    lock = threading.Lock()
    done: list[int] = []

    def work(number):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.002)
        with lock:
            at_work -= 1
            done.append(number)

    for number in range(100):
        found.submit(lambda number=number: work(number))
    found.shutdown()

    assert sorted(done) == list(range(100))
    assert most == 3
    assert sorted(ended) == ["test_0", "test_1", "test_2"]


def test_what_comes_after_the_end_is_refused(threads):
    found, ended = threads
    found.shutdown()

    with pytest.raises(RuntimeError, match="have ended"):
        found.submit(lambda: None)
    assert ended == []
