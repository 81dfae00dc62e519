"""Entries that say the same are one group, whatever ids, numbers and values they quote."""

import re
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reshape.grouping import VALUES_SHOWN, group, shape_of
from tests.making import START


def entry(number=0, message="m", *, ordinal=-1, error="RowInvalid", value="", **more):
    fields = {
        "transform": "sample.transform_pages",
        "feed": "sample.pages",
        "fetch_id": UUID(int=number),
        "ordinal": ordinal,
        "fetched_at": START + timedelta(minutes=number),
        "error": error,
        "message": message,
        "model": "Author",
        "field": "name",
        "value": value,
    }
    return SimpleNamespace(**{**fields, **more})


@pytest.mark.parametrize(
    ("message", "value", "shape"),
    [
        ("Author.name=7: it is int, not text.", "7", "Author.name=…: it is int, not text."),
        (
            "Author.name={'a': [1, 2]}: it is dict (line 12 of transform.py)",
            "{'a': [1, 2]}",
            "Author.name=…: it is dict (line 12 of transform.py)",
        ),
        (
            "Author.name is missing from the row (code='x', born=1912).",
            "",
            "Author.name is missing from the row.",
        ),
        ("t (line 3 of a.py): KeyError: no 'mag'", "", "t (line 3 of a.py): KeyError: no …"),
        ("it isn't 'text' that's \"quoted\"", "", "it isn't … that's …"),
        ("The body is not JSON: line 1 column 22 (char 21). It begins b'<html'.", "",
         "The body is not JSON: line N column N (char N). It begins …."),
        ("no fetch 0190a1b2-0000-7000-8000-00000000000a here", "", "no fetch N here"),
        ("digest " + "0a" * 32, "", "digest N"),
        ("took 1,234.5 of 10:30:00", "", "took N of N"),
        ("cut off: 'abcdef…", "", "cut off: …"),
    ],
)  # fmt: skip
def test_the_shape_of_a_message(message, value, shape):
    assert shape_of(message, value) == shape


@settings(max_examples=50)
@given(st.text(max_size=100), st.text(max_size=20))
def test_a_shape_has_no_numbers_and_is_its_own_shape(message, value):
    shape = shape_of(message, value)

    without_lines = re.sub(r"\(line \d+ of [^()\s]+\)", "", shape)
    assert not re.search(r"\d", without_lines)
    assert shape_of(shape) == shape


@given(st.integers(0, 10**9), st.text(alphabet="abc xyz", max_size=30))
def test_messages_that_differ_in_a_number_and_a_quoted_text_are_of_one_shape(number, text):
    def said(number, text):
        return shape_of(f"row {number} has {text!r}, not a date")

    assert said(number, text) == said(1, "another")


def test_ten_thousand_entries_are_a_few_groups():
    entries = [
        entry(number, f"Author.name={number}: it is int.", value=str(number), ordinal=number % 2)
        for number in range(10_000)
    ] + [entry(20_000, "The body is not JSON: char 7", error="BodyUnreadable")]

    bad, unreadable = group(entries)

    assert (bad.payload_count, bad.row_count) == (0, 10_000)
    assert (bad.first_fetched_at, bad.last_fetched_at) == (
        START,
        START + timedelta(minutes=9_999),
    )
    assert bad.example == f"{UUID(int=9_999)}:1"
    assert len(bad.values) == VALUES_SHOWN
    assert (unreadable.payload_count, unreadable.example) == (1, str(UUID(int=20_000)))


@pytest.mark.parametrize("name", ["transform", "error", "model", "field"])
def test_what_keeps_groups_apart(name):
    assert len(group([entry(1), entry(2), entry(3, **{name: "another"})])) == 2
