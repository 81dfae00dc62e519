"""When a transform's code changes: what follows without being asked, and what `status` says."""

import json
import logging
import re
import threading
from dataclasses import replace

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from etl.checks import check_replay_settings
from etl.on_change import catch_up, refresh_unasked
from etl.policy import changed_transforms, policy_of
from etl.walk import refresh
from raw_store import feeds
from raw_store.archive import Archive
from raw_store.errors import ArchiveError
from raw_store.feeds import parse_quarantine_limit
from reshape import registry
from reshape.errors import LimitExceeded
from reshape.models import HeldRow, SourceState
from tests.ferry.models import Line
from tests.making import make_payload
from tests.sample.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


def archive_page(code, minute):
    body = {"authors": [{"code": code, "name": "as listed"}]}
    url = f"http://library.example/{code}"
    Archive().append_all(
        "sample.pages", [make_payload("sample.pages", body, minute=minute, url=url)]
    )


@pytest.fixture
def change_code(monkeypatch):
    """Write the transform of `sample.pages` anew: it names every author alike."""

    def change():
        def transform_pages(payload):
            for author in payload.json()["authors"]:
                yield Author.row(code=author["code"], name="by the new code")

        pages = registry._transforms["sample.transform_pages"]
        monkeypatch.setitem(
            registry._transforms,
            pages.name,
            replace(pages, function=transform_pages, code_digest="written anew"),
        )

    return change


def names():
    return dict(Author.objects.order_by("code").values_list("code", "name"))


def status(capsys):
    capsys.readouterr()
    call_command("status", "sample")
    return capsys.readouterr().out


def test_a_source_never_replayed_has_no_changed_code(home):
    assert changed_transforms("sample") == []


def test_auto_derives_the_rows_anew(home, change_code):
    archive_page("ann", 0)
    refresh("sample")
    change_code()

    catch_up(threading.Event())

    assert names() == {"ann": "by the new code"}


@pytest.mark.parametrize(("policy", "said"), [("ask", 2), ("never", 0)])
def test_ask_and_never_keep_the_rows_until_someone_replays(
    home, settings, change_code, caplog, policy, said
):
    settings.REPLAY_ON_CHANGE = f"auto,sample={policy}"
    archive_page("ann", 0)
    refresh_unasked("sample")
    archive_page("bob", 1)
    refresh_unasked("sample")
    before = names()
    change_code()
    archive_page("cid", 2)

    with caplog.at_level(logging.WARNING, logger="etl.on_change"):
        assert refresh_unasked("sample") is None
        catch_up(threading.Event())
    kept = names()
    refresh("sample")

    assert before == kept == {"ann": "as listed", "bob": "as listed"}
    assert len(caplog.records) == said
    assert all("until `manage.py replay sample`" in each.message for each in caplog.records)
    assert names() == dict.fromkeys(("ann", "bob", "cid"), "by the new code")
    # From here on what arrives is loaded by itself again.
    archive_page("dot", 3)
    refresh_unasked("sample")
    assert len(names()) == 4


@pytest.mark.parametrize("refresh_port", [refresh_unasked, refresh])
def test_a_source_that_waits_is_not_derived_because_of_one_it_rests_on(
    home, settings, monkeypatch, refresh_port
):
    settings.REPLAY_ON_CHANGE = "auto,ferry=ask"
    put("ferry.timetable", {"lines": [{"code": f"to {v}", "vessel_id": v} for v in "uvw"]}, 0)
    put("port.registry", {"vessels": [{"code": v, "name": v} for v in "uv"]}, 0)
    for source in ("port", "ferry"):
        refresh(source)

    def transform_timetable(payload):
        for line in payload.json()["lines"]:
            yield Line.row(code=f"new {line['code']}", vessel_id=line["vessel_id"])

    old = registry._transforms["ferry.transform_timetable"]
    new = replace(old, function=transform_timetable, code_digest="written anew")
    monkeypatch.setitem(registry._transforms, new.name, new)
    replayed_at = SourceState.objects.get(source="ferry").replayed_at

    put("port.registry", {"vessels": [{"code": v, "name": v} for v in "uvw"]}, 1)
    refresh_port("port")
    while_one_came = lines()
    seen_at = SourceState.objects.get(source="ferry").replayed_at
    put("port.registry", {"vessels": [{"code": v, "name": v} for v in "vw"]}, 2)
    refresh_port("port")

    assert while_one_came == ["to u", "to v"]
    assert seen_at == replayed_at
    assert lines() == ["to v"]
    assert HeldRow.objects.filter(source="ferry").count() == 2
    assert changed_transforms("ferry") == ["ferry.transform_timetable"]
    refresh("ferry")
    assert lines() == ["new to v", "new to w"]


def put(feed, body, minute):
    Archive().append_all(feed, [make_payload(feed, body, minute=minute)])


def lines():
    return sorted(Line.objects.values_list("code", flat=True))


def test_status_tells_rows_in_quarantine_from_payloads_and_why_nothing_is_loaded(
    home, monkeypatch, capsys
):
    pages = registry._transforms["sample.transform_pages"]
    monkeypatch.setitem(registry._transforms, pages.name, replace(pages, bad_rows="row"))
    none = replace(feeds.get("sample.pages"), quarantine_limit=parse_quarantine_limit(1))
    monkeypatch.setitem(feeds._feeds, "sample.pages", none)
    codes = ["fits", "does not fit " * 4, "nor does this " * 4]
    put("sample.pages", {"authors": [{"code": code, "name": code} for code in codes]}, 0)
    with pytest.raises(LimitExceeded):
        refresh("sample")

    said = status(capsys)

    assert "0 payloads and 2 rows in quarantine, 0 rows held" in said
    assert "sample is not loaded: sample.transform_pages could not read 2 of 3 rows" in said


def test_one_source_may_differ_from_the_others(settings):
    settings.REPLAY_ON_CHANGE = "never, sample = ask,quakes=auto".replace(" = ", "=")

    assert [policy_of(source) for source in ("sample", "quakes", "fx")] == ["ask", "auto", "never"]


@pytest.mark.parametrize("wrong", ["sometimes", "sample=", "auto,,ask", "sample=sometimes"])
def test_a_policy_that_is_none_is_refused(settings, wrong):
    settings.REPLAY_ON_CHANGE = wrong

    with pytest.raises(ImproperlyConfigured, match="auto, ask or never"):
        policy_of("sample")
    assert [found.id for found in check_replay_settings()] == ["etl.E001"]


def test_a_source_that_fails_at_the_start_is_logged_and_keeps_its_rows(
    home, monkeypatch, caplog, change_code
):
    archive_page("ann", 0)
    refresh("sample")
    change_code()

    def fail(archive):
        raise ArchiveError("the store is down")

    monkeypatch.setattr(Archive, "pinned", fail)
    catch_up(threading.Event())

    assert "replay failed source=sample" in caplog.text
    assert names() == {"ann": "as listed"}


def test_a_server_that_stops_begins_no_replay(home, change_code):
    archive_page("ann", 0)
    refresh("sample")
    change_code()
    stop = threading.Event()
    stop.set()

    catch_up(stop)

    assert names() == {"ann": "as listed"}


def test_status_says_what_is_parsed_and_what_a_change_costs(home, capsys, settings, change_code):
    settings.REPLAY_ON_CHANGE = "ask"
    assert "sample: data version 0, last replay never" in status(capsys)
    archive_page("ann", 0)
    archive_page("bob", 1)
    assert "parsed 0 of 2 payloads" in status(capsys)
    refresh("sample")
    after = status(capsys)
    change_code()
    changed = status(capsys)

    assert "sample: data version 1, last replay 20" in after
    assert "feed sample.pages: 2 payloads, last fetch 2026-01-01 00:01:00" in after
    assert "parsed 2 of 2 payloads" in after
    assert "0 payloads in quarantine, 0 rows held" in after
    assert "code changed since the last replay: 2 payloads to parse" in changed
    assert "until you run `manage.py replay sample` (REPLAY_ON_CHANGE says ask)" in changed


def test_status_as_json_has_every_number(home, capsys, change_code):
    archive_page("ann", 0)
    Archive().append_all("sample.pages", [make_payload("sample.pages", b"no JSON", minute=1)])
    refresh("sample")
    change_code()
    capsys.readouterr()

    call_command("status", "sample", "--json")

    said = json.loads(capsys.readouterr().out)
    pages = next(t for t in said["transforms"] if t["feed"] == "sample.pages")
    assert (said["name"], said["data_version"], said["quarantined_count"]) == ("sample", 1, 1)
    assert (pages["payload_count"], pages["parsed_count"], pages["is_changed"]) == (2, 0, True)
    assert pages["fingerprint"] != pages["loaded_fingerprint"]


def test_status_names_a_transform_that_is_new_and_one_that_is_gone(home, capsys, monkeypatch):
    archive_page("ann", 0)
    refresh("sample")
    pages = registry._transforms["sample.transform_pages"]
    monkeypatch.delitem(registry._transforms, pages.name)
    monkeypatch.setitem(registry._transforms, "sample.anew", replace(pages, name="sample.anew"))

    said = status(capsys)

    assert "transform sample.transform_pages: gone since the last replay" in said
    assert re.search(r"sample\.anew@\w+: code changed since the last replay: 1 payload to", said)


def test_status_names_the_known_sources(home):
    with pytest.raises(CommandError, match="There is no source 'smaple'"):
        call_command("status", "smaple")
