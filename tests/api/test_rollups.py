"""Rollups as fields: typed, filtered, ordered, in pages."""

import json
from datetime import UTC, date, datetime

import pytest
from django.db import connection

from api.compiled.documents import Known
from api.schema import get_api
from warehouse.models import RollupTable
from warehouse.rollups import rollup_model


@pytest.fixture
def totals(db):
    model = rollup_model("sample_loans_daily")
    columns = [field.name for field in model._meta.concrete_fields if not field.primary_key]
    model._base_manager.bulk_create(
        model(row_id=f"r{day}", day=date(2026, 1, day), **{columns[1]: 10 - day})
        for day in (1, 2, 3)
    )
    return columns


def test_a_rollup_is_a_list_called_like_its_file(ask, totals):
    answer = ask(
        """{ sampleLoansDaily(order: {loanCount: ASC}, pagination: {limit: 2}) { day loanCount }
             sampleLoansDailyCount(filters: {day: {gt: "2026-01-01"}}) }"""
    )

    assert answer == {
        "sampleLoansDaily": [
            {"day": "2026-01-03", "loanCount": 7},
            {"day": "2026-01-02", "loanCount": 8},
        ],
        "sampleLoansDailyCount": 2,
    }


def test_a_rollup_is_described_by_the_comment_in_its_file(ask, db):
    answer = ask('{ __type(name: "SampleLoansDaily") { description fields { name } } }')

    assert answer["__type"]["description"] == "Loans per day."
    assert "rowId" not in {field["name"] for field in answer["__type"]["fields"]}


@pytest.fixture
def statements(transactional_db):
    """Statements that change the rollup's table, which is as it was after the test."""
    model = rollup_model("sample_loans_daily")

    def run(statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)

    yield run
    run("DROP TABLE IF EXISTS sample_loans_daily")
    with connection.schema_editor() as editor:
        editor.create_model(model)


def test_a_rollup_that_was_never_loaded_is_empty(ask, statements):
    statements("DROP TABLE sample_loans_daily")

    answer = ask("{ sampleLoansDaily { day } sampleLoansDailyCount }")

    assert answer == {"sampleLoansDaily": [], "sampleLoansDailyCount": 0}


def test_a_rollup_whose_file_changed_since_it_was_loaded_says_what_to_do(ask, statements):
    statements("ALTER TABLE sample_loans_daily RENAME COLUMN loan_count TO lent")

    answer = ask("{ sampleLoansDaily { loanCount } }", fails=True)

    assert "loan_count is new. Run manage.py build_rollups." in answer.errors[0]


@pytest.fixture
def author_totals(library):
    model = rollup_model("sample_author_totals")
    model._base_manager.bulk_create(
        model(row_id=code, author_id=code, book_count=count)
        for code, count in (("ada", 2), ("bob", 2), ("gone", 1))
    )


def test_a_row_leads_to_the_entity_whose_key_it_has(ask, author_totals):
    answer = ask(
        """{ sampleAuthorTotals(order: [{author: {name: ASC}}, {authorId: ASC}]) {
               authorId author { name mentor { name } } } }"""
    )

    rows = {row["authorId"]: row["author"] for row in answer["sampleAuthorTotals"]}
    assert rows == {
        "ada": {"name": "Ada", "mentor": None},
        "bob": {"name": "Bob", "mentor": {"name": "Ada"}},
        # A rollup may speak of what is no more.
        "gone": None,
    }


def test_an_entity_leads_back_to_its_rows(ask, author_totals):
    answer = ask(
        """{ authors(order: {code: ASC}) { code sampleAuthorTotals { bookCount }
             sampleAuthorTotalsCount } }"""
    )

    assert [
        (row["code"], row["sampleAuthorTotals"], row["sampleAuthorTotalsCount"])
        for row in answer["authors"]
    ] == [("ada", [{"bookCount": 2}], 1), ("bob", [{"bookCount": 2}], 1), ("cleo", [], 0)]


def test_entities_are_filtered_by_their_rollups_and_the_other_way_round(ask, author_totals):
    answer = ask(
        """{ authors(filters: {sampleAuthorTotals: {bookCount: {gt: 1}}}, order: {code: ASC}) {
               code }
             sampleAuthorTotals(filters: {author: {name: {exact: "Bob"}}}) { authorId } }"""
    )

    assert [row["code"] for row in answer["authors"]] == ["ada", "bob"]
    assert answer["sampleAuthorTotals"] == [{"authorId": "bob"}]


def test_a_row_tells_what_it_was_computed_of_and_when(ask, author_totals):
    at = datetime(2026, 1, 5, tzinfo=UTC)
    RollupTable.objects.create(table="sample_author_totals", signature="", computed_at=at)

    answer = ask("{ sampleAuthorTotals { build { builtAt inputs refresh } } }")

    (build,) = {str(row["build"]) for row in answer["sampleAuthorTotals"]}
    assert build == str(
        {
            "builtAt": "2026-01-05T00:00:00+00:00",
            "inputs": ["sample_book"],
            "refresh": "on change",
        }
    )


def test_a_plan_tells_of_what_a_row_was_computed(ask, author_totals):
    document = "{ sampleAuthorTotals { build { builtAt inputs } author { code } } }"
    known = get_api().documents.learn(document)
    assert isinstance(known, Known)

    answer = get_api().compiler.answer(known, None, {})

    assert answer.data is not None, answer.reason
    assert json.loads(answer.data) == ask(document)
    assert [each.sql.split()[0] for each in answer.ran] == ["SELECT", "(the", "SELECT"]
