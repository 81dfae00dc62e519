"""Lists walked by cursors: each row once, whatever is loaded meanwhile."""

import base64
import json
from datetime import date

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reshape.models import ModelState
from tests.api.compiled.rows import fill
from tests.api.garden.models import Bed, Plant
from tests.sample.models import Author, Book, Loan

PAGE = """
query ($order: [PlantOrder!], $first: Int, $after: String, $last: Int, $before: String) {
  plantsConnection(order: $order, first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { number } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
ORDERINGS = st.sampled_from(["ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST"])
COLUMNS = st.sampled_from(
    ["name", "bedId", "plantedOn", "wateredAt", "isEdible", "heightM", "seedCount", "serial"]
)
ONE = st.builds(lambda name, way: {name: way}, COLUMNS, ORDERINGS)
LINKED = st.builds(
    lambda name, way: {"bed": {name: way}}, st.sampled_from(["name", "areaM2"]), ORDERINGS
)
ORDERS = st.lists(ONE | LINKED, max_size=3)


def walk(ask, between=lambda: None, **asked):
    """The numbers of all plants, a page at a time."""
    found: list[int] = []
    after = None
    while True:
        page = ask(PAGE, after=after, **asked)["plantsConnection"]
        found += [edge["node"]["number"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]
        between()


def walk_back(ask, **asked):
    found: list[int] = []
    before = None
    while True:
        page = ask(PAGE, before=before, **asked)["plantsConnection"]
        found = [edge["node"]["number"] for edge in page["edges"]] + found
        if not page["pageInfo"]["hasPreviousPage"]:
            return found
        before = page["pageInfo"]["startCursor"]


def test_pages_hold_each_row_once_in_the_order_of_the_list(ask, db):
    fill(Bed, 4)
    fill(Plant, 12)
    listed = "query ($order: [PlantOrder!]) { plants(order: $order) { number } }"

    @settings(
        max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(ORDERS, st.integers(3, 7))
    def agree(order, size):
        expected = [row["number"] for row in ask(listed, order=order)["plants"]]

        assert walk(ask, order=order, first=size) == expected
        assert walk_back(ask, order=order, last=size) == expected

    agree()


def test_rows_that_come_and_go_meanwhile_move_no_other_row(ask, db):
    fill(Bed, 4)
    fill(Plant, 12)
    kept = set(Plant.objects.values_list("number", flat=True))
    numbers = iter(range(1000, 2000))

    def load():
        number = next(numbers)
        fetch_id = f"{number:032}"
        Plant.objects.create(number=number, name="A" if number % 2 else "z", fetch_id=fetch_id)
        Plant.objects.create(number=-number, name="Zoë", fetch_id=fetch_id)

    @settings(max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(ORDERS, st.integers(2, 5))
    def once(order, size):
        Plant.objects.exclude(number__in=kept).delete()

        found = walk(ask, load, order=order, first=size)

        assert len(found) == len(set(found))
        assert kept <= set(found)

    once()


def test_a_cursor_outlives_its_row(ask, library):
    question = """query ($after: String) {
        booksConnection(order: {title: DESC}, first: 2, after: $after) {
            nodes { code } pageInfo { endCursor hasNextPage } } }"""
    page = ask(question)["booksConnection"]
    Book.objects.get(code=page["nodes"][-1]["code"]).delete()

    following = ask(question, after=page["pageInfo"]["endCursor"])["booksConnection"]

    assert [row["code"] for row in page["nodes"] + following["nodes"]] == ["b4", "b3", "b2", "b1"]
    assert not following["pageInfo"]["hasNextPage"]


def test_a_key_of_two_columns_is_walked(ask, library):
    question = """query ($after: String) { loansConnection(first: 4, after: $after)
        { nodes { bookId day } pageInfo { endCursor } } }"""
    first = ask(question)["loansConnection"]
    second = ask(question, after=first["pageInfo"]["endCursor"])["loansConnection"]

    assert len(first["nodes"]) == 4
    assert second["nodes"] == [
        {"bookId": "b3", "day": "2026-01-02"},
        {"bookId": "b3", "day": "2026-01-03"},
    ]


def test_a_rollup_has_a_connection(ask, db):
    from warehouse.rollups import rollup_model

    model = rollup_model("sample_loans_daily")
    model._base_manager.bulk_create(
        model(row_id=f"r{day}", day=date(2026, 1, day), loan_count=day) for day in (1, 2, 3)
    )

    answer = ask(
        "{ sampleLoansDailyConnection(order: {day: DESC}, last: 2) { nodes { day } totalCount } }"
    )

    assert answer["sampleLoansDailyConnection"] == {
        "nodes": [{"day": "2026-01-02"}, {"day": "2026-01-01"}],
        "totalCount": 3,
    }


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("first: 1001", "first is 1001; it is from 0 to 1000"),
        ("last: -1", "last is -1"),
        ("first: 1, before: null, last: 2", "give one pair of them"),
        ('first: 1, before: "x"', "give one pair of them"),
        ('after: "x"', "is no cursor of this server"),
        (f'after: "{base64.b64encode(b"[9,1]").decode()}"', "another version"),
    ],
)
def test_what_makes_no_page_is_refused(ask, library, arguments, reason):
    question = f"{{ booksConnection({arguments}) {{ nodes {{ code }} }} }}"

    assert reason in ask(question, fails=True).errors[0]


def test_a_cursor_of_another_order_is_refused(ask, library):
    cursor = ask("{ booksConnection(order: {price: ASC}) { edges { cursor } } }")
    cursor = cursor["booksConnection"]["edges"][0]["cursor"]
    question = """query ($after: String) {
        booksConnection(order: {price: DESC}, after: $after) { nodes { code } } }"""

    error = ask(question, after=cursor, fails=True).errors[0]

    assert "belongs to another list or order than this of books" in error
    assert "begin again" in error


def test_a_cursor_with_values_of_another_kind_is_refused(ask, garden):
    cursor = ask("{ plantsConnection { pageInfo { startCursor } } }")["plantsConnection"]
    text = cursor["pageInfo"]["startCursor"]
    version, digest, _ = json.loads(base64.urlsafe_b64decode(text + "=="))

    for value in ("a", [1], None, 2**64, "\0"):
        made = base64.urlsafe_b64encode(json.dumps([version, digest, value]).encode()).decode()
        asked = f'{{ plantsConnection(after: "{made}") {{ nodes {{ number }} }} }}'
        assert "is no cursor of this server" in ask(asked, fails=True).errors[0]


def test_a_count_is_exact_capped_or_about(ask, library):
    ModelState.objects.create(
        table="sample_book", source="sample", row_count=1_000_000, changed_at="2026-01-01T00:00Z"
    )

    answer = ask(
        """{ booksConnection(first: 0) {
            totalCount
            exact: count { value isExact mode }
            capped: count(mode: CAPPED, upTo: 3) { value isExact }
            reached: count(mode: CAPPED, upTo: 4) { value isExact }
            about: count(mode: ESTIMATE) { value isExact mode }
        } }"""
    )["booksConnection"]

    assert answer == {
        "totalCount": 4,
        "exact": {"value": 4, "isExact": True, "mode": "EXACT"},
        "capped": {"value": 3, "isExact": False},
        "reached": {"value": 4, "isExact": True},
        "about": {"value": 1_000_000, "isExact": False, "mode": "ESTIMATE"},
    }


def test_an_estimate_of_filtered_rows_is_the_planners_or_a_count(ask, library):
    counted = ask(
        """{ booksConnection(filters: {code: {startsWith: "b"}, title: {contains: "s"}}) {
            count(mode: ESTIMATE) { value isExact } } }"""
    )["booksConnection"]["count"]

    assert counted["isExact"] == (connection.vendor == "sqlite")
    assert counted["value"] == 4 or not counted["isExact"]


def test_a_bound_that_makes_no_sense_is_refused(ask, library):
    question = "{ booksConnection { count(mode: CAPPED, upTo: 0) { value } } }"

    assert "upTo is 0; it is from 1" in ask(question, fails=True).errors[0]


def test_rows_of_a_written_type_come_as_in_lists(ask, garden):
    answer = ask(
        """{ labelsConnection(first: 2) { nodes { letterCount } edges { node { plant { name } } } }
             bedsConnection { nodes { caption plants { name } } } }"""
    )

    assert answer["labelsConnection"]["nodes"] == [{"letterCount": 5}, {"letterCount": 3}]
    assert answer["labelsConnection"]["edges"][0]["node"] == {"plant": {"name": "Oak"}}
    assert answer["bedsConnection"]["nodes"][0]["caption"] == "n: North"
    assert len(answer["bedsConnection"]["nodes"][0]["plants"]) == 2


def test_a_page_of_a_connection_counts_as_rows_of_the_answer(ask, db):
    Author.objects.bulk_create(
        Author(code=f"{n:04}", name="x", mentor_id="0000", fetch_id=f"{n:032}") for n in range(400)
    )
    nested = "pupils(pagination: {limit: 1000}) { code }"
    question = f"{{ authorsConnection(first: 1000) {{ nodes {{ mentor {{ {nested} }} }} }} }}"

    assert "more than 100000 rows" in ask(question, fails=True).errors[0]
    assert Loan.objects.count() == 0
