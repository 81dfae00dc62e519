"""CSV: what was written reads back, and what does not add up is an error with its line."""

import csv
import io
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raw_store.errors import BodyUnreadable
from tests.making import make_payload

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
TABLES = st.integers(1, 5).flatmap(
    lambda width: st.tuples(
        st.lists(CELL, min_size=width, max_size=width, unique=True),
        st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=6),
    )
)


def file_of(body, content_type="text/csv"):
    body = body.encode() if isinstance(body, str) else body
    return make_payload("sample.pages", body, content_type=content_type)


def message_of(body, **how):
    with pytest.raises(BodyUnreadable) as caught:
        list(file_of(body).csv(**how))
    return str(caught.value)


def written(rows, delimiter=",", end="\r\n"):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    return file.getvalue()


@given(
    table=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    codec=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_table_reads_back(table, delimiter, end, codec):
    header, rows = table
    body = written([header, *rows], delimiter, end).encode(codec)
    label = "utf-16" if codec == "utf-16" else "utf-8"

    read = list(file_of(body, f"text/csv; charset={label}").csv(delimiter=delimiter))

    assert read == [dict(zip(header, row, strict=True)) for row in rows]


@given(table=TABLES, delimiter=st.sampled_from(",;\t|"))
def test_a_delimiter_that_is_sniffed_is_the_right_one(table, delimiter):
    header, rows = table
    body = written([header, *rows], delimiter)

    try:
        read = list(file_of(body).csv())
    except BodyUnreadable:
        # In doubt: nothing is read rather than something wrong.
        assume(False)

    assert read == [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ("name,price\nx,1\n", {"name": "x", "price": "1"}),
        ("name;price\nx;1,5\n", {"name": "x", "price": "1,5"}),
        ("name\tprice\nx, y\t1\n", {"name": "x, y", "price": "1"}),
        ('name|price\n"a|b"|1\n', {"name": "a|b", "price": "1"}),
        ('\n\nname,price\n\n"two\nlines",1\n', {"name": "two\nlines", "price": "1"}),
        ('name,price\n"say ""hi""",1', {"name": 'say "hi"', "price": "1"}),
        ("name,price\n x ,\n", {"name": " x ", "price": ""}),
    ],
)
def test_files_as_they_are_found_are_read(body, row):
    assert list(file_of(body).csv()) == [row]


@pytest.mark.parametrize(
    "body", ["a,b;c\n1,2;3\n", "name\nx\n", "a;b\n1,5;2\n1;2;3\n"], ids=["two", "none", "ragged"]
)
def test_a_delimiter_in_doubt_is_asked_for(body):
    assert "payload.csv(delimiter=…)" in message_of(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "It is empty"),
        ('a,b\n"x\ny",1\n1,2,3\n', "the row at line 4 has 3 values, there are 2 columns"),
        ("a,b\n1,2\n1\n", "the row at line 3 has 1 values"),
        ("a,b\n1;2\n", "it has a semicolon"),
        ("a,b,a\n1,2,3\n", "names 'a' more than once"),
        ('a,b\n1,"x\n2,3\n', 'in the row at line 2, a " that opens there is never closed'),
        ('a,b\n1,"x"y\n', "in the row at line 2"),
    ],
)
def test_what_does_not_add_up_is_an_error_with_its_line(body, expected):
    assert expected in message_of(body, delimiter=",")


def test_ragged_rows_are_read_when_asked_for():
    rows = list(file_of("a,b\n1\n1,2,3,4\n").csv(ragged=True))

    assert rows == [{"a": "1"}, {"a": "1", "b": "2", None: ["3", "4"]}]


def test_columns_can_be_named_and_quotes_switched_off():
    rows = list(file_of('5" nail\t1\n').csv(columns=["name", "price"], quote=""))

    assert rows == [{"name": '5" nail', "price": "1"}]


def test_a_value_of_any_size_is_read():
    body = "a,b\n" + "x" * 300_000 + ",1\n"

    assert len(next(file_of(body).csv())["a"]) == 300_000


@given(body=st.binary(max_size=60))
def test_any_bytes_are_csv_or_unreadable(body):
    try:
        rows = list(file_of(body).csv())
    except BodyUnreadable:
        return

    assert len({len(row) for row in rows}) <= 1


def test_a_line_of_very_many_columns_takes_time_by_their_number():
    columns = [f"c{number}" for number in range(100_000)]
    began_at = time.thread_time()

    (row,) = file_of("\n".join([",".join(columns)] * 2)).csv()

    assert list(row) == columns
    assert time.thread_time() - began_at < 10  # by the square, 40,000 took 14
