"""What an operation may ask for, and what an error may tell."""

import logging

import pytest
from graphql import get_introspection_query

from tests.sample.models import Author


def test_an_operation_too_deep_is_refused(ask, db):
    question = "{ authors " + "{ pupils " * 12 + "{ code }" + " }" * 12 + " }"

    assert "exceeds maximum" in ask(question, fails=True).errors[0]


def test_an_operation_of_too_many_aliases_is_refused(ask, db):
    question = "{" + " ".join(f"a{n}: authorsCount" for n in range(101)) + "}"

    assert "101 aliases found" in ask(question, fails=True).errors[0]


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
