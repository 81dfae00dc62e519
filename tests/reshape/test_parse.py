"""Parse: record files, the process pool, and code that changes under way."""

import importlib
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raw_store.archive import Archive
from reshape import executors, registry
from reshape.fingerprint import code_digest, fingerprint
from reshape.parse import label_of, parse_segments
from reshape.records import OUTCOMES, RecordWriter, records_dir
from tests.making import make_payload
from tests.sample.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(home):
    return Archive()


@pytest.fixture
def pages():
    return registry._transforms["sample.transform_pages"]


def start_pools(monkeypatch):
    """Parse in a pool at once, whatever it saves."""
    monkeypatch.setattr(executors, "MEASURED_S", 0)
    monkeypatch.setattr(executors, "POOL_START_S", -1)
    monkeypatch.setattr(executors, "HELPS", False)


def fill(archive, count):
    for number in range(count):
        body = {"authors": [{"code": f"a{number}", "name": "n" * 50}]}
        url = f"http://library.example/{number}"
        archive.append_all("sample.pages", [make_payload("sample.pages", body, url=url)])


def authors(pages):
    files = records_dir("sample_author", label_of(pages)).glob("*.parquet")
    return sorted(row["code"] for path in files for row in pq.read_table(path).to_pylist())


def test_parsed_segment_is_not_parsed_again(archive, pages):
    fill(archive, 2)
    first = parse_segments([pages], archive)

    second = parse_segments([pages], archive)

    assert (first.payload_count, second.payload_count) == (2, 0)


def test_pool_of_processes_gives_the_same_files(archive, pages, monkeypatch, settings):
    settings.PARSE_WORKERS = 2
    start_pools(monkeypatch)
    fill(archive, 5)

    parsed = parse_segments([pages], archive)

    assert (parsed.segment_count, parsed.record_count) == (5, 5)
    assert authors(pages) == [f"a{number}" for number in range(5)]


def test_worker_whose_code_is_not_the_callers_writes_nothing(archive, pages, monkeypatch, settings):
    settings.PARSE_WORKERS = 2
    start_pools(monkeypatch)
    fill(archive, 3)
    # As in a server that imported the transform before its file was edited.
    imported_before = replace(pages, code_digest="of the earlier file")

    parse_segments([imported_before], archive)

    assert not records_dir(OUTCOMES, label_of(pages)).exists()
    assert authors(imported_before) == ["a0", "a1", "a2"]


def test_files_of_an_interrupted_segment_are_not_there(home, archive):
    def parse_until_interrupted():
        with RecordWriter("t@1", "segment") as writer:
            writer.add(make_payload("sample.pages", {}), [(Author, ["a", "n", None])])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parse_until_interrupted()

    assert not [path for path in (home / "records").rglob("*") if path.is_file()]


def test_error_in_a_transform_names_feed_line_and_missing_field(archive, pages, monkeypatch):
    def broken(payload):
        yield Author.row(code=payload.json()["id"], name="n")

    monkeypatch.setitem(
        registry._transforms, pages.name, replace(pages, function=broken, code_digest="broken")
    )
    fill(archive, 1)

    parse_segments([registry._transforms[pages.name]], archive)

    (path,) = records_dir(OUTCOMES, label_of(registry._transforms[pages.name])).glob("*.parquet")
    (outcome,) = pq.read_table(path).to_pylist()
    assert outcome["error"] == "KeyError"
    assert outcome["field"] == "id"
    assert "Feed sample.pages" in outcome["message"]
    assert f"of {Path(__file__).name}" in outcome["message"]


PLAIN = "from .helper import FACTOR\ndef t(payload):\n    return FACTOR"
DOCUMENTED = "from .helper import FACTOR\ndef t(payload):\n    '''Doc.'''\n    return FACTOR"


class Panic(BaseException):
    """As a library in Rust raises it."""


class Silent(Exception):
    """Its message cannot be made."""

    def __str__(self):
        raise ValueError("there are no words for it")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SystemExit("no page"), "SystemExit: no page"),
        (Panic("index out of bounds"), "Panic: index out of bounds"),
        (Silent(), "Silent: it cannot say more: ValueError"),
    ],
)
def test_whatever_a_transform_raises_concerns_its_payload_alone(error, message, archive, pages):
    def raises(payload):
        if payload.url.endswith("1"):
            raise error
        yield Author.row(code=payload.url[-1], name="n")

    changed = replace(pages, function=raises, code_digest="raises")
    fill(archive, 3)

    parsed = parse_segments([changed], archive)

    files = records_dir(OUTCOMES, label_of(changed)).glob("*.parquet")
    outcomes = [row for path in files for row in pq.read_table(path).to_pylist()]
    (said,) = [each["message"] for each in outcomes if each["error"]]
    assert said.endswith(message)
    assert (parsed.quarantined_count, authors(changed)) == (1, ["0", "2"])


def test_what_takes_all_memory_ends_the_parse_and_its_payload_is_named(archive, pages):
    def swells(payload):
        [None] * 10**15
        yield Author.row(code="a", name="n")

    fill(archive, 1)

    with pytest.raises(MemoryError) as caught:
        parse_segments([replace(pages, function=swells, code_digest="s")], archive)

    (note,) = caught.value.__notes__
    assert re.fullmatch(r"sample\.\w+ was reading fetch \S+ of http://library\.example/0", note)


def test_what_ends_the_process_ends_the_parse(archive, pages):
    def interrupted(payload):
        raise KeyboardInterrupt

    fill(archive, 1)

    with pytest.raises(KeyboardInterrupt):
        parse_segments([replace(pages, function=interrupted, code_digest="i")], archive)


@pytest.mark.parametrize(
    ("helper", "transform", "is_same"),
    [
        ("FACTOR = 2", PLAIN, True),
        ("# two\nFACTOR = 2", DOCUMENTED, True),
        ("FACTOR = 3", PLAIN, False),
        ("FACTOR = 2", PLAIN + " + 1", False),
    ],
)
def test_only_code_counts_for_the_digest(tmp_path, monkeypatch, helper, transform, is_same):
    before = _digest_of(tmp_path / "before", monkeypatch, "FACTOR = 2", PLAIN)

    after = _digest_of(tmp_path / "after", monkeypatch, helper, transform)

    assert (before == after) == is_same


def _digest_of(folder, monkeypatch, helper, transform):
    package = folder / "shelf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text(helper)
    (package / "work.py").write_text(transform)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(folder)
        try:
            return code_digest(importlib.import_module("shelf.work").t)
        finally:
            for name in ("shelf", "shelf.work", "shelf.helper"):
                sys.modules.pop(name, None)


def test_fingerprint_follows_the_columns(pages, monkeypatch):
    before = fingerprint(pages)

    monkeypatch.setattr(Author._meta.get_field("name"), "max_length", 99)

    assert fingerprint(pages) != before


def test_what_killed_processes_left_is_swept(home, archive, pages):
    left = [home / "tmp" / "duckdb-old", home / "warehouse" / "staged" / "old.sqlite3"]
    in_use = home / "tmp" / "duckdb-new"
    for folder in (left[0], left[1].parent, in_use):
        folder.mkdir(parents=True)
    (left[0] / "spilled.tmp").touch()
    left[1].touch()
    for path in left:
        os.utime(path, (0, 0))

    parse_segments([pages], archive)

    assert [path.exists() for path in (*left, in_use)] == [False, False, True]
