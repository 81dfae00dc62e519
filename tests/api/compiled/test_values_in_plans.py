"""One plan, asked again with other values: what a filter compares with is never part of it."""

import json

import pytest
from asgiref.sync import async_to_sync
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry.http import process_result

from api.compiled.documents import known_of
from api.compiled.snapshots import Snapshot
from api.schema import get_api
from api.views.graphql import _View
from tests.api.compiled.rows import TEXTS, fill
from tests.sample.models import Author, Book, Loan

import graphql  # isort: skip

QUESTION = """
query (
  $title: String, $part: String, $price: Decimal, $cheap: Decimal, $prices: [Decimal!]
  $days: [Date!], $author: String, $missing: Boolean, $offset: Int!, $limit: Int!
) {
  books(filters: {title: {iContains: $title, startsWith: $part}
                  OR: [{price: {gt: $price, isNull: $missing}}, {price: {inList: $prices}}]}) {
    code
    loans(filters: {day: {inList: $days}}, pagination: {offset: $offset, limit: $limit}) { day }
    author { booksCount(filters: {authorId: {iStartsWith: $author}, price: {lte: $cheap}}) }
  }
}
"""

texts = st.none() | st.sampled_from(TEXTS)
decimals = st.none() | st.sampled_from(["0", "-1.5", "12.50", "1e30", "7"])
values = st.fixed_dictionaries(
    {"offset": st.integers(0, 3), "limit": st.integers(0, 3)},
    optional={
        "title": texts,
        "part": texts,
        "author": texts,
        "price": decimals,
        "cheap": decimals,
        "missing": st.none() | st.booleans(),
        "prices": st.none() | st.lists(decimals.filter(bool), max_size=3),
        "days": st.none() | st.lists(st.sampled_from(["2026-01-01", "2026-01-02"]), max_size=3),
    },
)


def ordinary(variables):
    schema = get_api().schema
    result = async_to_sync(schema.execute)(QUESTION, variable_values=variables)
    return json.loads(_View(schema=schema).encode_json(process_result(result)))


def test_other_values_give_other_answers(db):
    for model in (Author, Book, Loan):
        fill(model)
    known = known_of(graphql.parse(QUESTION))
    compiler = get_api().compiler

    @settings(
        max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.lists(values, min_size=2, max_size=4))
    def agree(asked):
        for variables in asked:
            answer = compiler.answer(known, None, variables)
            expected = ordinary(variables)
            if answer.data is None:
                assert "errors" in expected, answer.reason
            else:
                assert {"data": json.loads(answer.data)} == expected

    agree()


def test_a_value_takes_the_place_of_another_without_a_new_statement(db, monkeypatch):
    fill(Author)
    document = "query ($name: String!) { authors(filters: {name: {iContains: $name}}) { code } }"
    known = known_of(graphql.parse(document))
    seen = []
    execute = Snapshot.execute

    def note(self, sql, params):
        seen.append((sql, params))
        return execute(self, sql, params)

    monkeypatch.setattr(Snapshot, "execute", note)
    for name in ("a%", "b_"):
        get_api().compiler.answer(known, None, {"name": name})

    (first, given_first), (second, given_second) = seen
    assert first is second
    assert (given_first[0], given_second[0]) == (r"%a\%%", r"%b\_%")


@pytest.mark.parametrize(
    "lookup",
    ["exact", "iExact", "contains", "iContains", "startsWith", "iStartsWith", "endsWith", "inList"],
)
def test_text_with_a_nul_is_in_no_row_that_has_none(db, lookup):
    fill(Author)
    kind = "[String!]" if lookup == "inList" else "String"
    document = (
        f"query ($name: {kind}, $code: String!) {{ "
        f"found: authorsCount(filters: {{name: {{{lookup}: $name}}}}) "
        f"others: authorsCount(filters: {{NOT: {{name: {{{lookup}: $name}}}}}}) "
        "author(code: $code) { name } }"
    )
    known = known_of(graphql.parse(document))
    schema = get_api().schema

    for name in ("no such name", "a\0b", "\0"):
        variables = {"name": name, "code": name}
        answer = get_api().compiler.answer(known, None, variables)
        ordinary = async_to_sync(schema.execute)(document, variable_values=variables)

        expected = {"found": 0, "others": Author.objects.count(), "author": None}
        assert (ordinary.data, ordinary.errors) == (expected, None)
        assert json.loads(answer.data or b"{}") == expected, answer.reason
