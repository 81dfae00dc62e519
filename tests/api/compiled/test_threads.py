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

    found = Threads(3, "test", at_once=2, at_end=at_end)
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
    together = threading.Barrier(2)

    def all_at_once():
        together.wait(10)

    for _ in range(2):
        found.submit(all_at_once)
    idle(found, 2)
    for _ in range(5):
        found.submit(lambda: names.append(threading.current_thread().name))
        idle(found, 2)

    assert len(set(names)) == 1


def test_little_runs_at_a_time_and_nothing_is_lost(threads, monkeypatch):
    # However slow the machine is.
    monkeypatch.setattr("api.compiled.threads.QUICK_S", 0.5)
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
        time.sleep(0.0005)
        with lock:
            at_work -= 1
            done.append(number)

    for number in range(200):
        found.submit(lambda number=number: work(number))
    found.shutdown()

    assert sorted(done) == list(range(200))
    assert most <= 2
    assert 0 < len(ended) <= 2


def test_what_takes_long_holds_nobody_up_as_long_as_there_are_threads(threads):
    found, ended = threads
    may_end, has_run = threading.Event(), threading.Event()
    for _ in range(2):
        found.submit(lambda: may_end.wait(30) and None)

    # Nothing else is submitted, and nothing ends.
    found.submit(has_run.set)

    assert has_run.wait(10)
    for _ in range(2):
        found.submit(lambda: may_end.wait(30) and None)
    may_end.set()
    found.shutdown()
    assert sorted(ended) == ["test_0", "test_1", "test_2"]


def test_what_fails_takes_no_thread_away(threads, caplog):
    def fail():
        raise RuntimeError("on purpose")

    found, _ = threads
    has_run = threading.Event()
    for _ in range(10):
        found.submit(fail)

    found.submit(has_run.set)

    assert has_run.wait(10)
    assert "what a thread was given failed" in caplog.text


def test_what_comes_after_the_end_is_refused(threads):
    found, ended = threads
    found.shutdown()

    with pytest.raises(RuntimeError, match="have ended"):
        found.submit(lambda: None)
    assert ended == []
