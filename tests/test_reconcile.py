"""Reconcile: every difference between what is served and what the archive says has a name."""

import json
import re

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from etl.walk import refresh
from raw_store.archive import Archive
from reshape.copies import present_copy
from tests.making import make_payload
from tests.sample.models import Author, Book

pytestmark = pytest.mark.django_db(transaction=True)

LIBRARY = {
    "authors": [{"code": code, "name": code.upper()} for code in "abc"],
    "books": [{"code": "x", "title": "X", "author_id": "a"}],
}


@pytest.fixture
def archive(home):
    archive = Archive()
    archive.append_all("sample.pages", [make_payload("sample.pages", LIBRARY)])
    refresh("sample", archive=archive)
    return archive


def reconcile(*arguments):
    try:
        call_command("reconcile", *arguments, verbosity=0)
    except SystemExit as left:
        return left.code
    return 0


def tamper():
    Author.objects.filter(code="b").update(name="Edited")
    Author.objects.filter(code="c").delete()
    Author.objects.create(code="z", name="Extra", fetch_id=make_payload("x").fetch_id)


def test_nothing_differs_after_a_replay(archive, capsys):
    assert reconcile("sample") == 0

    # Three models and two rollups.
    assert capsys.readouterr().out == (
        "sample: 3 tables and 5 columnar copies are what the archive says\n"
    )


def test_missing_extra_and_different_rows_are_named(archive, capsys):
    tamper()

    assert reconcile("sample") == 1

    out = capsys.readouterr().out
    assert "sample_author: 1 missing, 1 different, 1 extra" in out
    assert "~ b: name 'Edited' → 'B'" in out
    assert "code=c, name=C" in out
    assert "code=z, name=Extra" in out
    assert "copy of sample_author is not its table: 3 rows differ" in out


def test_repair_loads_the_difference(archive, capsys):
    tamper()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sample_author_totals SET book_count = 99")

    assert reconcile("sample", "--repair") == 0

    assert sorted(Author.objects.values_list("code", "name")) == [
        ("a", "A"),
        ("b", "B"),
        ("c", "C"),
    ]
    assert "repaired; nothing differs any more" in capsys.readouterr().out


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's columns hold their type")
def test_value_that_its_column_cannot_hold_is_named_and_mended(archive, capsys, caplog):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sample_author SET name = x'ff' WHERE code = 'b'")

    assert reconcile("sample", "--repair") == 0

    assert "sample_author: 1 different" in capsys.readouterr().out
    # In logs, what is called a code is redacted.
    assert re.search(r"Author.name=b'\\xff' where code='.*': it is bytes, not text.", caplog.text)
    assert Author.objects.get(code="b").name == "B"


def test_rollup_that_is_not_its_copy_is_named(archive, capsys):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sample_author_totals SET book_count = 99")

    assert reconcile("sample", "--json") == 1

    (problem,) = json.loads(capsys.readouterr().out)["copies"]
    assert problem["table"] == "sample_author_totals"
    assert problem["difference"]["changed_by_column"] == {"book_count": 1}


def test_copy_that_cannot_be_read_is_named_and_mended(archive, capsys):
    path = present_copy(Book)
    assert path is not None
    path.write_bytes(b"PAR1 and no more")

    assert reconcile("sample", "--repair") == 0

    assert "copy of sample_book cannot be read" in capsys.readouterr().out

    mended = present_copy(Book)
    assert mended is not None
    assert pq.read_table(mended)["code"].to_pylist() == ["x"]


def test_what_is_archived_and_not_loaded_is_missing(archive, capsys):
    body = {"authors": [{"code": "d", "name": "D"}]}
    archive.append_all(
        "sample.pages", [make_payload("sample.pages", body, url="http://library.example/2")]
    )

    assert reconcile("sample", "--json") == 1

    found = json.loads(capsys.readouterr().out)
    (table,) = [t for t in found["tables"] if t["table"] == "sample_author"]
    assert (table["missing"], table["different"], table["extra"]) == (1, 0, 0)


def test_whatever_goes_wrong_is_no_difference(archive, monkeypatch, capsys):
    def stumble(*arguments, **options):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr("reshape.replay.link", stumble)

    assert reconcile("sample") == 2

    assert "the disk is on fire" in capsys.readouterr().err


def test_unknown_source_is_refused(archive):
    with pytest.raises(CommandError, match="There is no source 'smaple'") as refused:
        call_command("reconcile", "smaple")

    assert refused.value.returncode == 2
