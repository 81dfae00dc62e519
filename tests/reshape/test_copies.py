"""Columnar copies: what rollups read is what the tables hold, wherever the copies went."""

import shutil

import duckdb
import pyarrow.parquet as pq
import pytest
from django.db import connection

from etl.walk import rebuild, refresh
from raw_store.archive import Archive
from reshape import layers
from reshape.copies import present_copies, present_copy
from reshape.layers import base_of, count_rows
from reshape.models import derived_models
from tests.making import make_payload
from tests.sample.models import Author, Book, Loan
from warehouse.publish import current_build, sweep

pytestmark = pytest.mark.django_db(transaction=True)

LIBRARY = {
    "authors": [{"code": code, "name": code.upper()} for code in ("b", "a")],
    "books": [{"code": "x", "title": "X", "author_id": "a", "price": "1.50", "tags": ["t"]}],
    "loans": [{"book_id": "x", "day": "2026-01-01", "loan_count": 3}],
}


@pytest.fixture
def archive(home):
    archive = Archive()
    archive.append_all("sample.pages", [make_payload("sample.pages", LIBRARY)])
    refresh("sample", archive=archive)
    return archive


def totals():
    with connection.cursor() as cursor:
        cursor.execute("SELECT author_id, book_count FROM sample_author_totals")
        return cursor.fetchall()


def copied(model):
    path = present_copy(model)
    assert path is not None
    return pq.read_table(path).to_pylist()


def test_copy_holds_the_tables_rows_in_key_order(archive):
    assert [row["code"] for row in copied(Author)] == ["a", "b"]
    assert [str(row["fetch_id"]) for row in copied(Loan)] == [
        str(loan.fetch_id) for loan in Loan.objects.all()
    ]


def test_lost_copies_are_written_again_from_the_tables(archive, home):
    before = {model: copied(model) for model in (Author, Book, Loan)}
    shutil.rmtree(home / "warehouse")

    rebuild()

    assert {model: copied(model) for model in (Author, Book, Loan)} == before
    assert totals() == [("a", 1)]


def test_copy_of_earlier_columns_is_replaced(archive):
    path = present_copy(Book)
    pq.write_table(pq.read_table(path).drop_columns(["tags"]), path)
    assert "sample_book" not in present_copies(derived_models("sample"))

    again = refresh("sample", archive=archive)

    assert again.loaded.changed_count == 0
    assert copied(Book)[0]["tags"] == '["t"]'


@pytest.fixture
def layered(archive, monkeypatch):
    """The library after two days that each changed a little of it, so that a layer says what."""
    monkeypatch.setattr(layers, "ROWS_PER_CHANGE", 0)
    for minute, name in ((1, "Ann"), (2, "Ann II")):
        page = {"authors": [{"code": "a", "name": name}, {"code": f"c{minute}", "name": "C"}]}
        url = "http://library.example/later"
        payload = make_payload("sample.pages", page, minute=minute, url=url)
        archive.append_all("sample.pages", [payload])
        refresh("sample", archive=Archive())
    return archive


def published(query):
    with duckdb.connect(current_build(), read_only=True) as build:
        return build.sql(query).fetchall()


def test_few_changes_are_a_layer_upon_the_copy_that_was_there(layered):
    author = present_copy(Author)

    assert author is not None
    assert base_of(author) is not None
    assert pq.read_table(author)["code"].to_pylist() == ["a", "c1", "c2"]
    assert count_rows(author) == Author.objects.count() == 3


def test_an_analyst_reads_the_rows_of_a_layer_in_place_of_those_beneath(layered):
    rows = published("SELECT code, name FROM sample_author ORDER BY code")

    assert rows == [("a", "Ann II"), ("b", "B"), ("c2", "C")]


def test_an_earlier_build_goes_on_giving_its_own_rows(layered):
    earlier = duckdb.connect(current_build(), read_only=True)
    page = {"authors": [{"code": "b", "name": "Bo"}]}
    late = make_payload("sample.pages", page, minute=9, url="http://library.example/b")
    layered.append_all("sample.pages", [late])

    refresh("sample", archive=Archive())

    with earlier:
        assert earlier.sql("SELECT name FROM sample_author WHERE code = 'b'").fetchall() == [("B",)]
    assert published("SELECT name FROM sample_author WHERE code = 'b'") == [("Bo",)]


def test_the_file_beneath_a_layer_is_not_swept_away(layered):
    sweep(only_current=True)

    assert present_copy(Author) is not None
    assert published("SELECT count(*) FROM sample_author") == [(3,)]


def test_a_layer_whose_base_is_gone_is_no_copy_and_is_written_again(layered):
    author = present_copy(Author)
    assert author is not None
    base = base_of(author)
    assert base is not None
    base.unlink()
    assert present_copy(Author) is None

    refresh("sample", archive=Archive())

    assert [row["name"] for row in copied(Author)] == ["Ann II", "B", "C"]


def test_many_changes_are_folded_into_one_file(layered, monkeypatch):
    monkeypatch.setattr(layers, "ROWS_PER_CHANGE", 50)
    page = {"authors": [{"code": "d", "name": "D"}]}
    late = make_payload("sample.pages", page, minute=9, url="http://library.example/d")
    layered.append_all("sample.pages", [late])

    refresh("sample", archive=Archive())

    author = present_copy(Author)
    assert author is not None
    assert base_of(author) is None
    assert [row["code"] for row in copied(Author)] == ["a", "b", "c2", "d"]


def test_linked_in_full_nothing_is_left_beneath_a_layer(layered):
    refresh("sample", archive=Archive(), anew=True)

    sweep(only_current=True)

    author = present_copy(Author)
    assert author is not None
    assert base_of(author) is None
    assert [path.name for path in author.parent.glob("*.parquet")] == [author.name]
