"""Old record files: removed some days after their last use, never those in use."""

import json
import os
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from etl import walk
from etl.walk import refresh, tidy
from raw_store.archive import Archive
from raw_store.locks import RECORDS, shared
from reshape import registry, slices
from reshape.parse import label_of, parse_segments
from reshape.records import OUTCOMES, records_dir
from reshape.sweeping import grace, sweep_records
from tests.making import make_payload

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rewrite(monkeypatch):
    """Give the transform another state of its code; return its label."""

    def state(digest):
        pages = registry._transforms["sample.transform_pages"]
        changed = replace(pages, code_digest=digest)
        monkeypatch.setitem(registry._transforms, pages.name, changed)
        return label_of(changed)

    return state


@pytest.fixture
def archive(home):
    archive = Archive()
    body = {"authors": [{"code": "ann", "name": "Ann"}]}
    archive.append_all("sample.pages", [make_payload("sample.pages", body)])
    return archive


def parse(archive):
    """Parse with the present state of the code."""
    parse_segments([registry._transforms["sample.transform_pages"]], archive)


def age(label, days):
    then = time.time() - days * 86_400
    os.utime(records_dir(OUTCOMES, label), (then, then))


def is_there(label):
    return [records_dir(folder, label).exists() for folder in (OUTCOMES, "sample_author")]


def test_files_of_earlier_code_go_after_the_grace_and_others_stay(archive, rewrite):
    labels = []
    for digest in ("first", "second", "third"):
        labels.append(rewrite(digest))
        parse(archive)
    first, second, third = labels
    for label in labels:
        age(label, 8)
    age(second, 6)
    size = sum(path.stat().st_size for path in archive_files(first))

    swept = sweep_records()

    assert (swept.labels, swept.freed_bytes) == ([first], size)
    assert (is_there(first), is_there(second), is_there(third)) == (
        [False, False], [True, True], [True, True],
    )  # fmt: skip
    assert sweep_records(timedelta(0)).labels == [second]


def archive_files(label):
    return [*records_dir(OUTCOMES, label).iterdir(), *records_dir("sample_author", label).iterdir()]


def test_what_the_live_rows_were_made_of_stays(archive, rewrite, settings):
    settings.REPLAY_ON_CHANGE = "ask"
    live = rewrite("live")
    refresh("sample")
    rewrite("present")
    age(live, 100)

    assert sweep_records().labels == []
    assert is_there(live) == [True, True]


def test_use_begins_the_grace_anew(archive, rewrite):
    used = rewrite("used")
    parse(archive)
    age(used, 100)
    parse(archive)
    rewrite("later")

    assert sweep_records().labels == []


def test_slices_go_with_the_rest(archive, rewrite, home):
    old = rewrite("old")
    parse(archive)
    folder = slices.slices_dir(home / "records", "segment") / OUTCOMES / old
    folder.mkdir(parents=True)
    (folder / "00000-00001.parquet").write_bytes(b"x" * 100)
    rewrite("new")
    parse(archive)
    age(old, 8)

    assert sweep_records().labels == [old]
    assert not folder.exists()


def test_the_server_sweeps_once_a_day(archive, rewrite, monkeypatch):
    old = rewrite("old")
    parse(archive)
    rewrite("new")
    parse(archive)
    age(old, 8)
    monkeypatch.setattr(walk, "_swept_at", {})

    tidy("sample")

    assert is_there(old) == [False, False]


def test_the_server_waits_for_nobody_who_derives_and_sweeps_later(archive, rewrite, monkeypatch):
    old = rewrite("old")
    parse(archive)
    rewrite("new")
    parse(archive)
    age(old, 8)
    monkeypatch.setattr(walk, "_swept_at", {})

    with shared(RECORDS):
        tidy("sample")
        assert all(is_there(old))
    tidy("sample")

    assert is_there(old) == [False, False]


def test_the_command_says_what_was_freed(archive, rewrite, capsys):
    old = rewrite("old")
    parse(archive)
    rewrite("new")
    parse(archive)
    age(old, 8)

    call_command("replay", "--sweep", "--json")
    first = json.loads(capsys.readouterr().out)
    call_command("replay", "--sweep")

    assert first["folders"] == [old]
    assert first["freed_bytes"] > 0
    assert capsys.readouterr().out == "0 folders of record files removed, 0 B freed\n"


def test_a_grace_that_is_no_time_is_refused(settings):
    settings.RECORDS_GRACE = "a week"

    with pytest.raises(ImproperlyConfigured, match="for example 36h, 7d or 2w"):
        grace()


def test_a_compaction_is_no_use_of_earlier_code(archive, rewrite):
    body = {"authors": [{"code": "bob", "name": "Bob"}]}
    archive.append_all("sample.pages", [make_payload("sample.pages", body, minute=1)])
    old = rewrite("old")
    parse(archive)
    rewrite("new")
    parse(archive)
    age(old, 8)

    archive.compact(grace=timedelta(0))

    assert sweep_records().labels == [old]
