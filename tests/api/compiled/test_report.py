"""`X-Plan: 1`: an answer tells which way it was made."""

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient


@pytest.fixture
def plan_of():
    def plan_of(question, variables=None, **headers):
        response = async_to_sync(AsyncClient().post)(
            "/graphql",
            orjson.dumps({"query": question, "variables": variables}),
            content_type="application/json",
            headers={"X-Plan": "1", **headers},
        )
        body = orjson.loads(response.content)
        assert "extensions" in body, body
        return body["extensions"]["plan"]

    return plan_of


def test_a_plan_tells_its_statements(plan_of, library):
    plan = plan_of("{ authors { name books { title } } }")

    assert (plan["path"], plan["reason"]) == ("compiled", None)
    assert [statement["rows"] for statement in plan["statements"]] == [3, 4]
    assert all(statement["sql"].startswith("SELECT") for statement in plan["statements"])
    assert all(statement["ms"] >= 0 for statement in plan["statements"])


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("{ beds { caption } }", "Not compiled: Bed.caption has a resolver of its own."),
        ("{ feeds { name } }", "Not compiled: feeds has a resolver of its own."),
        ("{ __schema { queryType { name } } }", "Not compiled: __schema tells of the schema."),
        ("{ books(pagination: {limit: 1001}) { code } }", "Refused: pagination.limit is 1001"),
        (
            '{ author(code: "ada") { books(pagination: {offset: -1}) { code } } }',
            "Refused: pagination.offset is -1",
        ),
    ],
)
def test_what_is_not_compiled_says_why(plan_of, library, question, reason):
    plan = plan_of(question)

    assert plan["path"] == "ordinary"
    assert plan["reason"].startswith(reason)


def test_the_ordinary_way_tells_its_statements_too(plan_of, garden):
    plan = plan_of("{ beds { caption } }")

    (statement,) = plan["statements"]
    assert "garden_bed" in statement["sql"]


def test_nobody_is_told_who_did_not_ask(ask, library):
    response = async_to_sync(AsyncClient().post)(
        "/graphql", b'{"query": "{ booksCount }"}', content_type="application/json"
    )

    assert orjson.loads(response.content) == {"data": {"booksCount": 4}}


@pytest.mark.parametrize("lookup", ["exact", "gt", "gte", "lt", "lte", "inList"])
@pytest.mark.parametrize(("rows", "column"), [("plants", "number"), ("labels", "plantId")])
def test_a_plan_made_for_one_number_serves_those_beyond_64_bits(
    plan_of, garden, rows, column, lookup
):
    kind = "[BigInt!]" if lookup == "inList" else "BigInt"
    question = (
        f"query ($n: {kind}) {{ {rows}(filters: {{{column}: {{{lookup}: $n}}}}) {{ __typename }} }}"
    )
    numbers = ["2", str(1 << 63), "3", str(-(1 << 70))]

    plans = [
        plan_of(question, {"n": [number, "2"] if lookup == "inList" else number})
        for number in numbers
    ]

    assert [plan["path"] for plan in plans] == ["compiled"] * 4
