"""What comes back: the forms, parameters, limits."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warehouse.errors import QueryFailed, TooManyRows

VALUES = """
SELECT 1::HUGEINT AS big, UUID '018f2f6e-0000-7000-8000-000000000001' AS id,
       INTERVAL 1 MONTH AS span, '{"k": [1]}'::JSON AS doc, TIMETZ '10:00:00+01' AS clock,
       TIMESTAMPTZ '2024-01-01' AS at, '101'::BIT AS bits, {'a': 'nan'::DOUBLE} AS part,
       [1, NULL] AS list, union_value(x := 1) AS one, 'a'::BLOB AS blob, 1.50::DECIMAL(9, 2) AS sum,
       'x'::ENUM('x', 'y') AS kind, 'infinity'::DOUBLE AS much, NULL AS nothing, 2 AS big
"""


def test_json_names_the_columns_and_says_how_many(asking):
    found = json.loads(asking("SELECT code, magnitude FROM quakes ORDER BY 1", form="json"))

    assert found == {
        "columns": [
            {"name": "code", "type": "VARCHAR"},
            {"name": "magnitude", "type": "DOUBLE"},
        ],
        "rows": [{"code": "a", "magnitude": 4.5}, {"code": 'b,"c"', "magnitude": None}],
        "row_count": 2,
        "is_cut": False,
    }


def test_lines_of_json(asking):
    text = asking("SELECT code FROM quakes ORDER BY 1", form="jsonl")

    assert [json.loads(line) for line in text.splitlines()] == [{"code": "a"}, {"code": 'b,"c"'}]


def test_csv(asking):
    text = asking("SELECT code, magnitude, '' AS \"e,\" FROM quakes ORDER BY 1").decode()

    assert text == 'code,magnitude,"e,"\na,4.5,""\n"b,""c""",,""\n'


@pytest.mark.parametrize(
    "items",
    ["1.50::DECIMAL(5, 2), 2.25", "TIMESTAMP '2024-01-01', NULL", "TIMESTAMPTZ '2024-01-01', NULL"],
)
def test_a_list_is_one_value_of_csv(asking, items):
    text = asking(f"SELECT [{items}] AS list, list[1:2] AS part, 7 AS n").decode()

    _, row = csv.reader(io.StringIO(text))
    assert len(row) == 3
    assert (row[0], row[2]) == (row[1], "7")


def test_arrow_and_parquet_keep_types(asking):
    sql = "SELECT code, occurred_at, magnitude FROM quakes ORDER BY 1"

    arrow = pa.ipc.open_stream(asking(sql, form="arrow")).read_all()
    parquet = pq.read_table(io.BytesIO(asking(sql, form="parquet")))

    assert arrow.schema.types == [pa.string(), pa.timestamp("us", "UTC"), pa.float64()]
    assert arrow.to_pylist() == parquet.to_pylist()
    assert arrow.num_rows == 2


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "arrow", "parquet"])
def test_every_kind_of_value_comes_in_every_form(asking, form):
    data = asking(VALUES, form=form)

    if form == "json":
        row = json.loads(data)["rows"][0]
        assert row["doc"] == {"k": [1]}
        assert row["part"] == {"a": None}
        assert row["much"] is None
        assert (row["big"], row["big_2"]) == (1, 2)
    elif form == "jsonl":
        assert json.loads(data)["list"] == [1, None]
    elif form == "csv":
        (row,) = csv.DictReader(io.StringIO(data.decode()))
        assert row["span"] == "1 month"
    else:
        table = (
            pa.ipc.open_stream(data).read_all()
            if form == "arrow"
            else pq.read_table(io.BytesIO(data))
        )
        assert table.column("span").to_pylist() == ["1 month"]
        assert table.column("blob").to_pylist() == [b"a"]


@pytest.mark.parametrize("form", ["json", "csv", "arrow", "parquet"])
def test_an_answer_without_rows_is_whole(asking, form):
    data = asking("SELECT code FROM quakes WHERE false", form=form)

    if form == "json":
        assert json.loads(data)["rows"] == []
    elif form == "csv":
        assert data == b"code\n"
    elif form == "arrow":
        assert pa.ipc.open_stream(data).read_all().num_rows == 0
    else:
        assert pq.read_table(io.BytesIO(data)).column_names == ["code"]


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
            st.none() | st.integers(-(2**63), 2**63 - 1),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_text_survives_csv_and_json(asking, rows):
    texts, numbers = [list(column) for column in zip(*rows, strict=True)]
    sql = "SELECT unnest($texts::VARCHAR[]) AS t, unnest($numbers::BIGINT[]) AS n"
    parameters = {"texts": texts, "numbers": numbers}

    lines = asking(sql, form="csv", parameters=parameters).decode()
    objects = json.loads(asking(sql, form="json", parameters=parameters))["rows"]

    assert [tuple(row.values()) for row in objects] == rows
    assert list(csv.reader(io.StringIO(lines, newline="")))[1:] == [
        ["" if value is None else str(value) for value in row] for row in rows
    ]


def test_parameters_by_position_and_by_name(asking):
    assert asking("SELECT ? AS a, ? AS b", parameters=[1, "x'y"]) == b"a,b\n1,x'y\n"
    assert asking("SELECT $b AS b, $a AS a", parameters={"a": 1, "b": [1]}) == b"b,a\n[1],1\n"


@pytest.mark.parametrize("parameters", [None, [], {"y": 1}, [1, 2]])
def test_parameters_that_do_not_fit_are_a_mistake(asking, parameters):
    with pytest.raises(QueryFailed, match="parameter"):
        asking("SELECT $x", parameters=parameters)


def test_rows_are_cut_where_that_is_asked_for(asking):
    found = json.loads(asking("FROM range(10000)", rows=3000, form="json"))

    assert (len(found["rows"]), found["row_count"], found["is_cut"]) == (3000, 3000, True)


def test_rows_beyond_the_limit_are_an_error_and_not_left_out(asking):
    with pytest.raises(TooManyRows, match="more than 5,000 rows"):
        asking("FROM range(5001)", rows_allowed=5000)

    assert asking("FROM range(5000)", rows_allowed=5000).count(b"\n") == 5001


def test_the_order_of_a_statement_is_kept(asking):
    text = asking("FROM range(10000) ORDER BY range DESC")

    assert text.split()[1:3] == [b"9999", b"9998"]
    assert text.split()[-1] == b"0"


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "DESCRIBE quakes",
        "SUMMARIZE quakes",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT * FROM quakes",
        "VALUES (1), (2);",
        "TABLE quakes -- all of it",
        "WITH x AS (SELECT 1 AS n) FROM x",
        "PIVOT quakes ON code IN ('a') USING count(*)",
        "SELECT * FROM archive",
        "FROM information_schema.columns",
        "SELECT unnest([1, 2]), regexp_matches('a', 'b')",
    ],
)
def test_statements_that_read_are_answered(asking, sql):
    assert asking(sql)
