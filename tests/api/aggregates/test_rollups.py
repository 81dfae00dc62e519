"""What a rollup can answer is answered by it, with the same numbers."""

from dataclasses import replace
from datetime import timedelta

import pytest

from api.aggregates.rollups import _shape
from tests.api.aggregates.copies import publish_copies
from tests.sample.models import Author, Book, Loan
from warehouse.headers import Refresh
from warehouse.rollups import rollups

COLUMNS = (
    ("author_id", "VARCHAR"),
    ("price", "DECIMAL(8,2)"),
    ("pages", "INTEGER"),
    ("added_at", "TIMESTAMP WITH TIME ZONE"),
)


@pytest.fixture
def built(settings, tmp_path, library):
    settings.WAREHOUSE_DIR = tmp_path / "warehouse"
    publish_copies([Author, Book, Loan])


def shape(sql):
    return _shape(sql, "given", "sample_book", COLUMNS)


@pytest.mark.parametrize(
    ("groups", "measures"),
    [
        ("groupBy: authorId", "count sum { price }"),
        ("groupBy: authorId, order: {sum: {price: DESC}}", "count"),
        ("", "count sum { price }"),
        ('filters: {authorId: {startsWith: "a"}}', "count sum { price }"),
        ('filters: {author: {name: {iContains: "B"}}}, groupBy: authorId', "sum { price }"),
    ],
)
def test_a_rollup_gives_the_numbers_of_the_rows(ask, built, groups, measures):
    arguments = f"({groups})" if groups else ""
    key = "key { authorId author { name } }" if "groupBy" in groups else ""
    answer = ask(
        f"""{{ quick: booksAggregate{arguments} {{ answeredBy nodes {{ {key} {measures} }} }}
               slow: booksAggregate{arguments} {{ answeredBy nodes {{ {key} {measures}
                      stddev {{ price }} }} }} }}"""
    )

    assert answer["quick"]["answeredBy"] == "rollup sample_author_totals"
    assert answer["slow"]["answeredBy"] == "columnar copy"
    for group in answer["slow"]["nodes"]:
        group.pop("stddev")
    assert answer["quick"]["nodes"] == answer["slow"]["nodes"]


@pytest.mark.parametrize(
    "field",
    [
        "booksAggregate(groupBy: title) { nodes { count } answeredBy }",
        "booksAggregate { nodes { max { price } } answeredBy }",
        'booksAggregate(filters: {title: {exact: "Ants"}}) { nodes { count } answeredBy }',
        "booksAggregate { nodes { avg { price } } answeredBy }",
        "booksAggregate(filters: {loans: {day: {isNull: false}}, price: {gt: 1}}) "
        "{ nodes { count } answeredBy }",
    ],
)
def test_what_a_rollup_does_not_have_comes_from_the_rows(ask, built, field):
    assert ask(f"{{ {field} }}")["booksAggregate"]["answeredBy"] == "columnar copy"


def test_columns_periods_and_measures_are_recognised():
    found = shape(
        "SELECT b.author_id AS writer, date_trunc('month', added_at)::DATE AS month, "
        "count(*)::INTEGER AS n, count(price) AS priced, sum(price) AS worth, "
        "max(pages)::BIGINT AS longest, sum(price)::INTEGER AS rounded, "
        "avg(price) AS mean, count(*) FILTER (WHERE price > 1) AS dear, "
        "count(DISTINCT author_id) AS writers FROM sample_book AS b GROUP BY ALL ORDER BY 1"
    )

    assert found.periods == {("author_id", None): "writer", ("added_at", "month"): "month"}
    assert found.measures == {
        ("count", None): "n",
        ("count", "price"): "priced",
        ("sum", "price"): "worth",
        ("max", "pages"): "longest",
    }


def test_hours_cast_to_a_date_are_days():
    found = shape(
        "SELECT date_trunc('hour', added_at)::DATE AS d, date_trunc('hour', added_at) AS h, "
        "count(*) AS n FROM sample_book GROUP BY ALL"
    )

    assert found.periods == {("added_at", "day"): "d", ("added_at", "hour"): "h"}


def test_a_rollup_that_may_be_older_than_the_rows_answers_nothing(monkeypatch):
    from api.aggregates.rollups import shapes_of
    from api.schema import get_api

    books = get_api().catalog[Book]
    hourly = Refresh(when="every", every=timedelta(hours=1))
    rarely = [replace(each, refresh=hourly) for each in rollups()]
    always = [shape.name for shape in shapes_of(books)]

    monkeypatch.setattr("api.aggregates.rollups.rollups", lambda: rarely)

    assert "sample_author_totals" in always
    assert shapes_of(books) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT author_id, count(*) AS n FROM sample_book WHERE price > 1 GROUP BY ALL",
        "SELECT author_id, count(*) AS n FROM sample_book GROUP BY ALL HAVING count(*) > 1",
        "SELECT author_id, count(*) AS n FROM sample_book GROUP BY ALL LIMIT 3",
        "SELECT DISTINCT author_id, count(*) AS n FROM sample_book GROUP BY ALL",
        "SELECT author_id, count(*) AS n FROM sample_book GROUP BY ROLLUP (author_id)",
        "SELECT author_id, count(*) AS n FROM sample_book GROUP BY CUBE (author_id, price)",
        "SELECT author_id, unnest([1, 2]) AS u, count(*) AS n FROM sample_book GROUP BY ALL",
        "SELECT author_id, count(*) AS n FROM sample_book TABLESAMPLE 10 ROWS GROUP BY ALL",
        "SELECT author_id, count(*) AS n FROM sample_book JOIN sample_author ON true GROUP BY ALL",
        "SELECT author_id, 1 AS n FROM sample_book",
        "WITH b AS (FROM sample_book) SELECT author_id, count(*) AS n FROM b GROUP BY ALL",
        "SELECT author_id, count(*) AS n FROM (FROM sample_book) GROUP BY ALL",
        "SELECT author_id, count(*) AS n FROM sample_book GROUP BY ALL UNION ALL SELECT 'x', 1",
    ],
)
def test_a_rollup_of_anything_but_all_rows_is_of_no_use(sql):
    assert shape(sql) is None


def test_days_add_up_to_months_and_weeks_do_not():
    from api.aggregates.questions import Grouping
    from api.schema import get_api

    column = get_api().catalog[Book].column("added_at")
    days = shape(
        "SELECT date_trunc('day', added_at) AS d, count(*) AS n FROM sample_book GROUP BY 1"
    )
    weeks = shape(
        "SELECT date_trunc('week', added_at) AS w, count(*) AS n FROM sample_book GROUP BY 1"
    )

    assert days.group(Grouping(column, "month")) == "d"
    assert days.group(Grouping(column, "hour")) is None
    assert weeks.group(Grouping(column, "month")) is None
    assert weeks.group(Grouping(column, "week")) == "w"
