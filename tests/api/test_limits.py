"""What an operation may ask for, and what an error may tell."""

import logging

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient
from graphql import get_introspection_query

from tests.sample.models import Author


def test_an_operation_too_deep_is_refused(ask, db):
    question = "{ authors " + "{ pupils " * 12 + "{ code }" + " }" * 12 + " }"

    assert "exceeds maximum" in ask(question, fails=True).errors[0]


def test_an_operation_of_too_many_aliases_is_refused(ask, db):
    question = "{" + " ".join(f"a{n}: authorsCount" for n in range(101)) + "}"

    assert "More than 100 aliases found" in ask(question, fails=True).errors[0]


def test_a_document_of_too_many_tokens_is_refused(ask, db):
    question = "{ authors { " + "code " * 5_000 + "} }"

    assert "more than 5000 tokens" in ask(question, fails=True).errors[0]


def test_graphiql_may_ask_what_there_is(ask, db):
    assert ask(get_introspection_query(input_value_deprecation=True))["__schema"]["types"]


def test_lists_within_lists_may_not_multiply_without_end(ask, db):
    Author.objects.create(code="a", name="A", fetch_id="0" * 32)
    Author.objects.bulk_create(
        Author(code=f"{n}", name="x", mentor_id="a", fetch_id="0" * 32) for n in range(50)
    )
    once = "pupils { mentor { code } }"
    again = "pupils { mentor { pupils { mentor { pupils { code } } } } }"

    assert ask(f"{{ authors {{ {once} }} }}")
    answer = ask(f"{{ authors {{ {again} }} }}", fails=True)

    assert "more than 100000 rows" in answer.errors[0]


@pytest.fixture
def broken(monkeypatch):
    """A database without the table that is asked for."""
    monkeypatch.setattr(Author._meta, "db_table", "nowhere")


def test_an_unexpected_error_is_logged_and_not_told(ask, db, broken, caplog):
    with caplog.at_level(logging.ERROR, "api"):
        answer = ask("{ authors { code } }", fails=True)

    assert answer.errors == ["Something went wrong; the server's log says what."]
    assert "nowhere" in caplog.text
    assert "field=authors" in caplog.text


def test_while_debugging_an_unexpected_error_is_told(ask, db, broken, settings):
    settings.DEBUG = True

    assert "nowhere" in ask("{ authors { code } }", fails=True).errors[0]


def test_a_mistake_of_the_client_is_told_and_not_logged(ask, library, caplog):
    answer = ask("{ books { titles } }", fails=True)

    assert "Cannot query field 'titles' on type 'Book'" in answer.errors[0]
    assert caplog.records == []


def test_fields_that_are_repeated_without_end_are_refused_before_they_are_compared(ask, db):
    question = "{ authors { " + "code " * 2_000 + "} }"

    assert "repeats the same fields too often" in ask(question, fails=True).errors[0]


def test_fragments_that_multiply_are_refused_before_they_are_spread(ask, db):
    spread = "".join(
        f"fragment F{n} on Author {{ a: pupils {{ ...F{n + 1} }} b: pupils {{ ...F{n + 1} }} }} "
        for n in range(10)
    )
    question = f"{{ authors {{ ...F0 }} }} {spread} fragment F10 on Author {{ code }}"

    assert "aliases found" in ask(question, fails=True).errors[0]


def test_fragments_in_a_circle_are_refused(ask, db):
    question = "{ authors { ...F } } fragment F on Author { pupils { ...F } }"

    assert "exceeds maximum depth" in ask(question, fails=True).errors[0]


def test_what_an_answer_could_hold_is_bounded(ask, db, settings):
    settings.GRAPHQL_MAX_COST = 10_100

    assert ask("{ authors { pupils { code } } }") == {"authors": []}
    answer = ask("{ authors { pupils(pagination: {limit: 101}) { code } } }", fails=True)

    assert "could hold 10200 rows" in answer.errors[0]


@pytest.mark.parametrize(
    ("question", "cost"),
    [
        ("{ authors { code } }", 100),
        ("{ authors(pagination: {limit: 7}) { code } }", 7),
        ("query ($n: Int!) { authors(pagination: {limit: $n}) { code } }", 5),
        ("query ($p: Pagination) { authors(pagination: $p) { code } }", 3),
        ('{ author(code: "a") { pupils { books { title } } } }', 1 + 100 + 10_000),
        ("{ authors(pagination: {limit: 2}) { mentor { pupils { code } } } }", 2 + 2 + 200),
        ("{ authorsCount }", 1),
        ("{ a: authors { code } b: authors { code } }", 200),
    ],
)
def test_the_cost_of_an_operation_is_told(db, question, cost):
    response = async_to_sync(AsyncClient().post)(
        "/graphql",
        {"query": question, "variables": {"n": 5, "p": {"limit": 3}}},
        content_type="application/json",
        headers={"X-Plan": "1"},
    )

    assert response.json()["extensions"]["cost"] == cost


def test_an_operation_that_takes_too_long_is_told(ask, library, settings):
    settings.GRAPHQL_TIME_LIMIT = 0

    for question in ("{ authors { code } }", "{ feeds { name } }"):
        assert "longer than 0 seconds" in ask(question, fails=True).errors[0]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL takes larger ones")
@pytest.mark.parametrize(
    "filters",
    [
        {"OR": [{"name": {"exact": f"{n}"}} for n in range(1_500)]},
        {"name": {"iContains": "x" * 60_000}},
        {"books": {"title": {"iExact": "x" * 60_000}}},
    ],
)
@pytest.mark.parametrize(
    "field",
    [
        "authors(filters: $f) { code }",
        "authorsCount(filters: $f)",
        "authorsConnection(filters: $f) { nodes { code } }",
        "authorsAggregate(filters: $f) { nodes { count } }",
        "authors { pupils(filters: $f) { code } }",
        "authors { pupilsCount(filters: $f) }",
    ],
)
def test_a_filter_beyond_what_sqlite_takes_is_told(ask, library, caplog, field, filters):
    question = f"query ($f: AuthorFilter) {{ {field} }}"

    told = ask(question, fails=True, f=filters).errors[0]

    assert "A filter is larger than the database takes" in told
    assert not caplog.records
