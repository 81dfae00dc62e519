"""A notice from end to end: a run, its replay, and what somebody is told of both."""

import pytest

from etl.on_change import refresh_unasked
from ingest.models import Notice
from ingest.notices.wording import text_of
from ingest.runs import ReceivedRun
from raw_store.archive import Archive
from tests.making import make_payload

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_finished_run_says_what_its_replay_changed(home, settings):
    settings.NOTICES = "mailto:ops@example.org#on=finished"
    body = {"authors": [{"code": code, "name": "as listed"} for code in ("ann", "bob")]}
    Archive().append_all("sample.pages", [make_payload("sample.pages", body, minute=0)])
    run = ReceivedRun("sample.pages")
    run.progress(payload_count=1, received_bytes=99)()
    run.end()

    refresh_unasked("sample")
    said = text_of(Notice.objects.get())

    assert said.startswith("sample.pages finished: 1 payload, ")
    assert said.endswith("rows: 2 new")
