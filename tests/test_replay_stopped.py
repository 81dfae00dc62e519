"""A replay that is stopped says so, and loses nothing; progress says how long it still takes."""

import io
import os
import signal
import threading

import pytest
from django.core.management import CommandError, call_command

from raw_store.archive import Archive
from raw_store.progress import Progress
from reshape import registry
from reshape.parse import payloads_to_parse
from reshape.purity import guarded
from reshape.sql import duck
from tests.making import make_payload
from tests.sample.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_replay_keeps_what_was_parsed_and_the_next_goes_on(
    home, monkeypatch, request, number, code
):
    archive = Archive()
    for page in range(3):
        body = {"authors": [{"code": f"a{page}", "name": "n"}]}
        url = f"http://library.example/{page}"
        archive.append_all("sample.pages", [make_payload("sample.pages", body, url=url)])
    ran = []

    def stop_at_the_third():
        ran.append(1)
        if len(ran) == 3:
            os.kill(os.getpid(), number)
        return guarded()

    monkeypatch.setattr("reshape.batches.guarded", stop_at_the_third)
    # A shell that runs the tests in the background has it ignored.
    was = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, was))
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(CommandError, match="what was parsed is kept") as raised:
        call_command("replay", "sample")
    pages = registry._transforms["sample.transform_pages"]
    left = payloads_to_parse([pages], archive)
    unseen = list((home / "records").rglob(".*.tmp"))
    call_command("replay", "sample", verbosity=0)

    assert raised.value.returncode == code
    assert (left, unseen) == (1, [])
    assert signal.getsignal(signal.SIGTERM) == before
    assert Author.objects.count() == 3


def test_ctrl_c_within_a_query_is_no_error_of_the_query(home, monkeypatch, request):
    def link_for_long(*arguments, **options):
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        with duck() as connection:
            connection.execute("SELECT sum(a.range * b.range) FROM range(70000) a, range(70000) b")

    monkeypatch.setattr("reshape.replay.link", link_for_long)
    # A shell that runs the tests in the background has it ignored.
    was = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, was))

    with pytest.raises(CommandError, match="what was parsed is kept") as raised:
        call_command("replay", "sample")

    assert raised.value.returncode == 130
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


@pytest.mark.parametrize(
    ("total", "left"),
    [(100, "90 s left"), (1_000, "16 min left"), (12_010, "3 h 20 min left")],
)
def test_progress_says_the_rate_and_the_time_left(monkeypatch, total, left):
    now = [100.0]
    monkeypatch.setattr("raw_store.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()

    with Progress("parse sample", total, out=out) as shown:
        now[0] = 110.0
        shown.advance(10)

    assert out.getvalue() == (
        f"parse sample: 10 of {total:,} payloads ({1_000 // total}%), 1/s, {left}\n"
    )


def test_progress_shows_on_a_terminal_that_the_first_units_are_waited_for(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("raw_store.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True)

    with Progress("parse sample", 4, out=out) as shown:
        at_first = out.getvalue()
        now[0] = 104.0
        shown.advance()

    assert at_first == "\r\x1b[Kparse sample: 0 of 4 payloads"
    assert out.getvalue().endswith("parse sample: 1 of 4 payloads (25%), 0.25/s, 12 s left\n")
