"""Columnar copies: what rollups read is what the tables hold, wherever the copies went."""

import shutil

import pyarrow.parquet as pq
import pytest
from django.db import connection

from etl.walk import rebuild, refresh
from raw_store.archive import Archive
from reshape.copies import present_copies, present_copy
from reshape.models import derived_models
from tests.making import make_payload
from tests.sample.models import Author, Book, Loan

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
