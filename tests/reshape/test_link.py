"""Link: which payloads count, who wins, who waits."""

import pyarrow.parquet as pq
import pytest

from raw_store.archive import Archive
from reshape.models import HeldRow, QuarantineEntry
from reshape.replay import derive
from reshape.sql import duck
from reshape.versions import find_versions
from tests.making import at, make_payload
from tests.sample.models import Author, Book, Loan

pytestmark = pytest.mark.django_db


@pytest.fixture
def archive(home):
    return Archive()


def authors(*codes, name="Ann"):
    return {"authors": [{"code": code, "name": name} for code in codes]}


def linked_rows(archive, model, **options):
    derivation = derive("sample", archive, **options)
    return pq.read_table(derivation.linked.copies[model]).to_pylist()


def codes(archive, model=Author, **options):
    return [row["code"] for row in linked_rows(archive, model, **options)]


def test_newest_version_of_a_request_is_its_state(archive):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a", "b"), minute=0),
            make_payload("sample.pages", authors("b", "c"), minute=1),
        ],
    )

    assert codes(archive) == ["b", "c"]


def test_requests_stand_side_by_side(archive):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a"), url="http://library.example/1"),
            make_payload("sample.pages", authors("b"), url="http://library.example/2"),
        ],
    )

    assert codes(archive) == ["a", "b"]


@pytest.mark.parametrize("status", [404, 410])
def test_gone_page_takes_its_rows_along(archive, status):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a"), minute=0),
            make_payload("sample.pages", b"gone", minute=1, status=status),
        ],
    )

    assert codes(archive) == []


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"status": 429},
        {"status": 200, "truncated": "disconnect"},
        {"status": None, "error": "connect: refused"},
    ],
)
def test_failure_changes_nothing(archive, failure):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a"), minute=0),
            make_payload("sample.pages", authors(), minute=1, **failure),
        ],
    )

    assert codes(archive) == ["a"]


def test_unreadable_version_is_quarantined_and_the_last_readable_one_stands_in(archive):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a"), minute=0),
            make_payload("sample.pages", b"", minute=1),
        ],
    )

    assert codes(archive) == ["a"]
    (entry,) = linked_rows(archive, QuarantineEntry)
    assert entry["feed"] == "sample.pages"
    assert entry["error"] == "BodyUnreadable"
    assert "It is empty" in entry["message"]


def test_unreadable_version_after_a_gone_page_brings_nothing_back(archive):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a"), minute=0),
            make_payload("sample.pages", b"", minute=1, status=404),
            make_payload("sample.pages", b"{", minute=2),
        ],
    )

    assert codes(archive) == []


@pytest.mark.parametrize(
    ("author", "field", "words"),
    [
        ({"code": "x", "name": 7}, "name", "Author.name=7: it is int, not text"),
        ({"code": "x"}, "name", "Author.name is missing"),
        ({"code": "x", "name": None}, "name", "must not be null"),
        ({"code": "x", "name": "n", "nmae": "n"}, "nmae", "the closest are name"),
        ({"code": "x" * 33, "name": "n"}, "code", "33 characters long; the field holds 32"),
    ],
)
def test_bad_row_names_feed_field_and_value_and_its_neighbours_load(archive, author, field, words):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", {"authors": [author]}, url="http://library.example/1"),
            make_payload("sample.pages", authors("b"), url="http://library.example/2"),
        ],
    )

    assert codes(archive) == ["b"]
    (entry,) = linked_rows(archive, QuarantineEntry)
    assert (entry["model"], entry["field"]) == ("Author", field)
    assert "Feed sample.pages" in entry["message"]
    assert words in entry["message"]


def test_run_feed_is_what_its_newest_complete_run_lists(archive):
    page = "http://library.example/{}".format
    archive.append_all(
        "sample.catalogue",
        [
            make_payload("sample.catalogue", authors("a"), url=page(1), run=1),
            make_payload("sample.catalogue", authors("b"), url=page(2), run=1, minute=1),
            make_payload("sample.catalogue", authors("c"), url=page(1), run=2, minute=2),
        ],
        complete_runs=True,
    )
    archive.append_all(
        "sample.catalogue",
        [make_payload("sample.catalogue", authors("d"), url=page(1), run=3, minute=3)],
    )

    assert codes(archive) == ["c"]
    assert codes(archive, as_of=at(1.5)) == ["a", "b"]
    assert codes(archive, as_of=at(0.5)) == []


def test_run_that_is_not_complete_says_nothing_about_a_row_it_mentions(archive):
    archive.append_all(
        "sample.catalogue",
        [make_payload("sample.catalogue", authors("a", name="whole"), run=1)],
        complete_runs=True,
    )
    archive.append_all(
        "sample.catalogue",
        [make_payload("sample.catalogue", authors("a", name="cut off"), run=2, minute=1)],
    )

    (row,) = linked_rows(archive, Author)

    assert row["name"] == "whole"


def test_page_that_was_gone_starts_a_new_version_even_with_the_same_body(archive):
    loans = [{"book_id": "x", "day": "2026-01-01", "loan_count": 1}]
    body = {**authors("a"), "books": [{"code": "x", "title": "X", "author_id": "a"}]}
    page = {**body, "loans": loans}
    archive.append_all(
        "sample.loans",
        [
            make_payload("sample.loans", page, minute=0),
            make_payload("sample.loans", page, minute=1, status=404),
            make_payload("sample.loans", page, minute=2),
        ],
    )

    with duck() as connection:
        find_versions(connection, archive, "sample.loans", None)
        starts = connection.sql("SELECT count(*) FROM sightings WHERE is_start").fetchall()

    assert starts == [(2,)]


def test_all_feed_keeps_what_every_version_said(archive):
    loans = [{"loans": [{"book_id": "x", "day": f"2026-01-0{n}", "loan_count": n}]} for n in (1, 2)]
    book = {**authors("a"), "books": [{"code": "x", "title": "X", "author_id": "a"}]}
    archive.append_all("sample.pages", [make_payload("sample.pages", book)])
    archive.append_all(
        "sample.loans",
        [make_payload("sample.loans", body, minute=n) for n, body in enumerate(loans)],
    )

    assert [row["loan_count"] for row in linked_rows(archive, Loan)] == [1, 2]


def test_newest_record_of_a_key_wins_across_feeds(archive):
    archive.append_all(
        "sample.pages", [make_payload("sample.pages", authors("a", name="new"), minute=5)]
    )
    archive.append_all(
        "sample.loans", [make_payload("sample.loans", authors("a", name="old"), minute=1)]
    )

    (row,) = linked_rows(archive, Author)

    assert row["name"] == "new"


def test_row_names_the_first_of_the_payloads_in_a_row_that_say_the_same(archive):
    names = ["one", "two", "one", "one"]
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a", name=name) | {"n": minute}, minute=minute)
            for minute, name in enumerate(names)
        ],
    )

    (row,) = linked_rows(archive, Author)

    assert row["name"] == "one"
    assert row["fetch_id"] == str(make_payload("sample.pages", minute=2).fetch_id)


def test_later_mention_in_one_payload_wins(archive):
    body = {"authors": [{"code": "a", "name": "first"}, {"code": "a", "name": "second"}]}
    archive.append_all("sample.pages", [make_payload("sample.pages", body)])

    (row,) = linked_rows(archive, Author)

    assert row["name"] == "second"


def test_row_without_its_target_is_held_and_named(archive):
    book = {"books": [{"code": "x", "title": "X", "author_id": "nobody"}]}
    archive.append_all("sample.pages", [make_payload("sample.pages", book)])

    assert codes(archive, Book) == []
    (held,) = linked_rows(archive, HeldRow)
    assert (held["model"], held["key"], held["field"], held["target"]) == (
        "sample.Book",
        '["x"]',
        "author",
        "nobody",
    )


def test_holding_follows_the_links(archive):
    body = {
        "authors": [{"code": "a", "name": "A", "mentor_id": "nobody"}],
        "books": [{"code": "x", "title": "X", "author_id": "a"}],
        "loans": [{"book_id": "x", "day": "2026-01-01", "loan_count": 1}],
    }
    archive.append_all("sample.pages", [make_payload("sample.pages", body)])

    assert linked_rows(archive, Loan) == []
    assert len(linked_rows(archive, HeldRow)) == 3


def test_holding_goes_on_until_no_link_dangles(archive):
    chain = [("a", "b"), ("b", "c"), ("c", "nobody")]
    body = {"authors": [{"code": code, "name": "N", "mentor_id": of} for code, of in chain]}
    archive.append_all("sample.pages", [make_payload("sample.pages", body)])

    assert codes(archive) == []
    assert len(linked_rows(archive, HeldRow)) == 3


def test_rows_that_refer_to_each_other_are_not_held(archive):
    body = {
        "authors": [
            {"code": "a", "name": "A", "mentor_id": "b"},
            {"code": "b", "name": "B", "mentor_id": "a"},
        ]
    }
    archive.append_all("sample.pages", [make_payload("sample.pages", body)])

    assert codes(archive) == ["a", "b"]


def test_older_history_archived_later_makes_a_revisit_a_version(archive):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a", name="one"), minute=0),
            make_payload("sample.pages", authors("a", name="one"), minute=10),
        ],
    )
    assert linked_rows(archive, Author)[0]["name"] == "one"
    archive.append_all(
        "sample.pages", [make_payload("sample.pages", authors("a", name="two"), minute=5)]
    )

    (row,) = linked_rows(archive, Author)

    assert row["name"] == "one"
    assert row["fetch_id"] == str(make_payload("sample.pages", minute=10).fetch_id)


def test_version_that_gives_nothing_where_rows_were_is_reported(archive):
    archive.append_all(
        "sample.pages",
        [
            make_payload("sample.pages", authors("a", "b"), minute=0),
            make_payload("sample.pages", {}, minute=1),
        ],
    )

    (emptied,) = derive("sample", archive).linked.emptied

    assert emptied.url == "http://library.example/"
    assert emptied.record_count_before == 2
