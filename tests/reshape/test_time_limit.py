"""A transform that takes too long over a payload loses that payload, and no other."""

import re
import threading
import time
from contextlib import suppress

import pytest

from reshape.errors import Overlong
from reshape.purity import guarding, run_guarded
from reshape.records import RecordWriter
from reshape.registry import Transform
from tests.making import make_payload
from tests.sample.models import Author


@pytest.fixture
def impatient(settings):
    settings.TRANSFORM_TIME_LIMIT = 0.1


def busy(seconds):
    ends_at = time.thread_time() + seconds
    while time.thread_time() < ends_at:
        pass


def slow(payload):
    busy(30)
    yield Author.row(code="a", name="Ann")


def stubborn(payload):
    ends_at = time.thread_time() + 1
    while time.thread_time() < ends_at:
        with suppress(Exception):
            busy(30)
    yield Author.row(code="a", name="Ann")


def backtracking(payload):
    re.match(r"(a+)+$", "a" * 60 + "b")
    yield Author.row(code="a", name="Ann")


def late(payload):
    busy(0.2)
    yield Author.row(code="a", name="Ann")


@pytest.mark.parametrize("transform", [slow, stubborn, backtracking], ids=lambda e: e.__name__)
def test_it_is_interrupted(db, impatient, transform):
    began_at = time.thread_time()

    with guarding(), pytest.raises(Overlong, match=r"more than 0\.1 s .*TRANSFORM_TIME_LIMIT"):
        run_guarded(transform, make_payload("sample.pages", {}))

    assert time.thread_time() - began_at < 20


def test_in_another_thread_it_is_judged_when_it_ends(db, impatient):
    raised = []

    def work():
        with guarding():
            try:
                run_guarded(late, make_payload("sample.pages", {}))
            except Overlong as error:
                raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert raised


def test_without_a_limit_it_goes_on(db, settings):
    settings.TRANSFORM_TIME_LIMIT = 0

    with guarding():
        (row,) = run_guarded(late, make_payload("sample.pages", {}))

    assert row.values["code"] == "a"


def test_waiting_for_the_processor_is_not_counted(db, impatient):
    def patient(payload):
        time.sleep(0.3)
        yield Author.row(code="a", name="Ann")

    with guarding():
        assert len(run_guarded(patient, make_payload("sample.pages", {}))) == 1


def test_its_payload_is_tried_once_and_its_neighbours_are_read(db, impatient, home):
    from reshape.parse import _transform_one, _write_gathered

    tries = []

    def function(payload):
        if payload.sequence == 1:
            tries.append(payload)
            busy(30)
        yield Author.row(code=str(payload.sequence), name="Ann")

    transform = Transform(
        name="sample.pages", feed="sample.pages", function=function,
        code_digest="x",
    )  # fmt: skip
    with guarding(), RecordWriter("transform_pages@x", "segment") as writer:
        for number in range(3):
            payload = make_payload("sample.pages", {}, minute=number, sequence=number)
            _transform_one(transform, payload, writer)
        _write_gathered(transform, writer)

    assert len(tries) == 1
    assert (writer.record_count, writer.quarantined_count) == (2, 1)
