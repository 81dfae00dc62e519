"""Counts, sums and averages of any group, from wherever they are quickest."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from api.schema import get_api
from tests.api.aggregates.copies import publish_copies
from tests.api.compiled.operations import filters_of, literal
from tests.api.compiled.rows import fill
from tests.api.garden.models import Bed, Label, Plant, Shelf, Visit
from tests.sample.models import Author, Book, Loan

LIBRARY = [Author, Book, Loan]
GARDEN = [Bed, Plant, Shelf, Visit, Label]


@pytest.fixture(autouse=True)
def warehouse(settings, tmp_path):
    """A warehouse of its own for each test; none is published yet."""
    settings.WAREHOUSE_DIR = tmp_path / "warehouse"


@pytest.fixture(params=["serving database", "columnar copy"])
def place(request, library):
    if request.param == "columnar copy":
        publish_copies(LIBRARY)
    return request.param


def test_all_rows_are_one_group_unless_grouped(ask, place):
    answer = ask(
        """{ booksAggregate { nodes { count sum { price } avg { price } min { price }
             max { price } stddev { price } quantiles(p: [0, 0.5]) { price } } answeredBy } }"""
    )["booksAggregate"]

    assert answer["answeredBy"] == place
    (group,) = answer["nodes"]
    assert (group["count"], group["sum"]["price"]) == (4, "26.50")
    assert group["avg"]["price"] == pytest.approx(26.5 / 3)
    assert (group["min"]["price"], group["max"]["price"]) == ("7.00", "12.50")
    assert group["stddev"]["price"] == pytest.approx(3.1754264805429417)
    assert group["quantiles"]["price"] == [7.0, 7.0]


def test_no_rows_are_a_group_too(ask, place):
    answer = ask(
        """{ booksAggregate(filters: {code: {exact: "none"}}) {
            nodes { count sum { price } max { addedAt } quantiles(p: [0.5]) { price } } } }"""
    )

    assert answer["booksAggregate"]["nodes"] == [
        {"count": 0, "sum": {"price": None}, "max": {"addedAt": None},
         "quantiles": {"price": [None]}}
    ]  # fmt: skip


def test_a_foreign_key_groups_by_the_row_that_it_leads_to(ask, place):
    answer = ask(
        """{ booksAggregate(groupBy: authorId, filters: {title: {contains: "nts"}}) {
            nodes { key { authorId author { name pupils { name } } } count } } }"""
    )

    assert answer["booksAggregate"]["nodes"] == [
        {"key": {"authorId": "ada", "author": {"name": "Ada",
                 "pupils": [{"name": "Bob"}, {"name": "Cleo"}]}}, "count": 1},
        {"key": {"authorId": "bob", "author": {"name": "Bob", "pupils": []}}, "count": 1},
    ]  # fmt: skip


def test_moments_are_grouped_by_their_period(ask, library):
    Book.objects.filter(code="b1").update(added_at=datetime(2026, 3, 31, 23, 59, tzinfo=UTC))
    Book.objects.filter(code="b2").update(added_at=datetime(2026, 4, 1, 0, 0, tzinfo=UTC))
    Book.objects.filter(code="b3").update(added_at=datetime(2026, 4, 5, 10, 30, tzinfo=UTC))
    publish_copies(LIBRARY)
    periods: dict[str, list[str | None]] = {
        "Hour": [],
        "Day": [],
        "Week": [],
        "Month": [],
        "Quarter": [],
        "Year": [],
    }

    for period, found in periods.items():
        name = f"addedAt{period}"
        answer = ask(
            f"""{{ booksAggregate(groupBy: {name}) {{
                nodes {{ key {{ {name} }} count rows {{ nodes {{ code }} }} }} }} }}"""
        )
        for group in answer["booksAggregate"]["nodes"]:
            assert group["count"] == len(group["rows"]["nodes"])
            found.append(group["key"][name])

    assert periods == {
        "Hour": ["2026-03-31T23:00:00+00:00", "2026-04-01T00:00:00+00:00",
                 "2026-04-05T10:00:00+00:00", None],
        "Day": ["2026-03-31", "2026-04-01", "2026-04-05", None],
        "Week": ["2026-03-30", None],
        "Month": ["2026-03-01", "2026-04-01", None],
        "Quarter": ["2026-01-01", "2026-04-01", None],
        "Year": ["2026-01-01", None],
    }  # fmt: skip


def test_groups_come_in_the_order_asked_for_a_page_at_a_time(ask, place):
    question = """query ($after: String) {
        loansAggregate(groupBy: [day, bookId], first: 4, after: $after,
                       order: [{sum: {loanCount: DESC}}, {key: {bookId: DESC}}]) {
            nodes { key { bookId day } sum { loanCount } }
            pageInfo { hasNextPage hasPreviousPage endCursor } totalCount } }"""
    first = ask(question)["loansAggregate"]
    second = ask(question, after=first["pageInfo"]["endCursor"])["loansAggregate"]

    found = [
        (group["key"]["bookId"], group["sum"]["loanCount"])
        for group in first["nodes"] + second["nodes"]
    ]
    assert found == [("b3", 30), ("b1", 30), ("b3", 20), ("b1", 20), ("b3", 10), ("b1", 10)]
    assert first["totalCount"] == second["totalCount"] == 6
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


def test_groups_without_a_key_are_walked_as_well(ask, garden):
    question = """query ($after: String) {
        plantsAggregate(groupBy: [bedId, plantedOn], first: 1, after: $after) {
            nodes { key { bedId plantedOn } } pageInfo { hasNextPage endCursor } } }"""
    found, after = [], None
    for _ in range(3):
        page = ask(question, after=after)["plantsAggregate"]
        found += page["nodes"]
        after = page["pageInfo"]["endCursor"]

    assert not page["pageInfo"]["hasNextPage"]
    assert [(each["key"]["bedId"], each["key"]["plantedOn"]) for each in found] == [
        ("n", "2026-03-01"), ("n", None), (None, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("booksAggregate(first: 1001) { answeredBy }", "first is 1001"),
        ("booksAggregate { nodes { key { title } } }", "groupBy does not name title"),
        ('booksAggregate(after: "x") { answeredBy }', "is no cursor of this server"),
        ("booksAggregate { nodes { quantiles(p: [2]) { price } } }", "numbers from 0 to 1"),
        ("booksAggregate { nodes { quantiles(p: []) { price } } }", "numbers from 0 to 1"),
        ("booksAggregate(order: {key: {title: ASC}}) { answeredBy }", "order names key.title"),
    ],
)
def test_what_makes_no_sense_is_refused(ask, library, field, reason):
    assert reason in ask(f"{{ {field} }}", fails=True).errors[0]


@pytest.mark.parametrize("unit", ["Hour", "Day", "Week", "Month", "Quarter", "Year"])
def test_the_last_period_of_the_calendar_has_rows(ask, garden, unit):
    end = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
    Plant.objects.filter(number=3).update(watered_at=end, planted_on=end.date())
    names = [f"wateredAt{unit}"] + ([f"plantedOn{unit}"] if unit not in ("Hour", "Day") else [])

    for name in names:
        answer = ask(
            f"""{{ plantsAggregate(groupBy: {name}, order: {{key: {{{name}: DESC}}}}, first: 1) {{
                nodes {{ count rows {{ nodes {{ name }} }} }} }} }}"""
        )["plantsAggregate"]

        assert answer["nodes"] == [{"count": 1, "rows": {"nodes": [{"name": "Aloe"}]}}]


def test_rows_are_given_of_a_hundred_groups_at_most(ask, db):
    Author.objects.bulk_create(
        Author(code=f"{n:04}", name=f"{n}", fetch_id=f"{n:032}") for n in range(120)
    )
    question = "{ authorsAggregate(groupBy: name, first: %d) { nodes { rows { totalCount } } } }"

    assert "Ask for first: 100" in ask(question % 101, fails=True).errors[0]
    assert len(ask(question % 100)["authorsAggregate"]["nodes"]) == 100


def test_a_rollup_is_aggregated_like_a_model(ask, library):
    publish_copies(LIBRARY)

    answer = ask("{ sampleLoansDailyAggregate { nodes { count sum { loanCount } } answeredBy } }")

    assert answer["sampleLoansDailyAggregate"] == {
        "nodes": [{"count": 3, "sum": {"loanCount": 120}}],
        "answeredBy": "columnar copy",
    }


def test_a_filter_means_the_same_rows_as_in_a_list(ask, db):
    for model in GARDEN:
        fill(model, 12)
    publish_copies(GARDEN)
    api = get_api()
    entities = [api.catalog[model] for model in GARDEN]

    @settings(
        max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(entities).flatmap(lambda each: filters_of(api, each)))
    def agree(drawn):
        entity, filters = drawn
        assume(literal(filters).count(",") < 1_000)  # a longer inList is refused
        names = entity.names
        body = ask(
            f"""{{ listed: {names.count}(filters: {literal(filters)})
                   found: {names.aggregate}(filters: {literal(filters)}) {{
                       nodes {{ count }} answeredBy }} }}"""
        )
        assert body["found"] == {
            "nodes": [{"count": body["listed"]}],
            "answeredBy": "columnar copy",
        }

    agree()


def test_numbers_agree_with_those_of_the_rows(ask, db):
    fill(Bed, 4)
    fill(Plant, 40)
    publish_copies(GARDEN)

    answer = ask(
        """{ plantsAggregate(groupBy: [bedId, isEdible]) { answeredBy nodes {
            key { bedId isEdible } count sum { seedCount heightM } avg { seedCount }
            min { plantedOn wateredAt wateringTime } max { heightM wateredAt } } } }"""
    )["plantsAggregate"]

    assert answer["answeredBy"] == "columnar copy"
    assert sum(group["count"] for group in answer["nodes"]) == Plant.objects.count()
    for group in answer["nodes"]:
        rows = list(
            Plant.objects.filter(bed_id=group["key"]["bedId"])
            if group["key"]["bedId"]
            else Plant.objects.filter(bed_id=None)
        )
        rows = [row for row in rows if row.is_edible == group["key"]["isEdible"]]
        counts = [row.seed_count for row in rows if row.seed_count is not None]
        moments = [row.watered_at for row in rows if row.watered_at is not None]
        days = [row.planted_on for row in rows if row.planted_on is not None]
        assert group["count"] == len(rows)
        assert int(group["sum"]["seedCount"] or 0) == sum(counts)
        if counts:
            assert group["avg"]["seedCount"] == pytest.approx(sum(counts) / len(counts))
        assert group["min"]["plantedOn"] == (min(days).isoformat() if days else None)
        assert group["max"]["wateredAt"] == (max(moments).isoformat() if moments else None)
