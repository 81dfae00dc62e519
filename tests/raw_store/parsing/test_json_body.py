"""JSON, JSON lines and JSONP: any value reads back, and an error says where it is."""

import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raw_store.errors import BodyUnreadable
from tests.making import make_payload

TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


def body_of(body, content_type="application/json"):
    return make_payload("sample.pages", body, content_type=content_type)


def message_of(read):
    with pytest.raises(BodyUnreadable) as caught:
        read()
    return str(caught.value)


@given(
    value=VALUES,
    codec=st.sampled_from(
        ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
    ),
)
def test_any_value_in_any_of_unicode_s_forms_reads_back(value, codec):
    body = json.dumps(value, ensure_ascii=False).encode(codec)

    assert body_of(body).json() == value


@given(values=st.lists(VALUES), end=st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_json_lines_read_back(values, end):
    lines = "".join(json.dumps(value, ensure_ascii=False) + end for value in values)

    if values:
        assert list(body_of(lines.encode()).json_lines()) == values


@given(
    value=VALUES,
    wrapped=st.sampled_from(
        [
            "callback({})",
            "jQuery123.cb_4( {} );\n",
            "/**/cb({});",
            "/**/ typeof cb === 'function' && cb({});",
            "window['cb']({})",
            ")]}}',\n{}",
            ")]}}'\n{}",
            "while(1);{}",
            "for (;;);{}",
            "{}",
        ]
    ),
)
def test_any_value_in_any_wrapper_reads_back(value, wrapped):
    body = wrapped.format(orjson.dumps(value).decode()).encode()

    assert body_of(body, "text/javascript").jsonp() == value


def test_a_right_label_is_of_use_where_the_body_is_not_utf_8():
    assert body_of(b'{"a": "\xe9"}', "application/json; charset=latin1").json() == {"a": "é"}


def test_a_wrong_label_does_no_harm_to_utf_8():
    assert body_of('{"a": "é"}'.encode(), "application/json; charset=latin1").json() == {"a": "é"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "It is empty"),
        (b'{\n "mag": nul}', "at line 2, column 9, between ' \"mag\": ' and 'nul}'"),
        (b'{"a": [1, 2', "unexpected end of data at line 1, column 12, after '{\"a\": [1, 2'"),
        ('{"é😀": x}'.encode(), "line 1, column 8"),
        (b'{"a":\n"\xe9"}', "byte 0xE9 is not utf-8, at line 2, column 2"),
        (b"<html>", "It looks like markup"),
        (b'callback({"a": 1})', "payload.jsonp() reads that"),
        (b")]}'\n{}", "payload.jsonp() reads that"),
        (b'{"a": 1}\n{"a": 2}\n', "payload.json_lines() reads those"),
        (b'{"a": NaN}', "line 1, column 7"),
    ],
)
def test_an_error_says_what_and_where_and_what_next(body, expected):
    message = message_of(body_of(body).json)

    assert message.startswith("The body is not JSON")
    assert expected in message


def test_an_error_in_lines_names_the_line():
    lines = body_of(b'{"a": 1}\n\n{"a": 2\n').json_lines()

    assert next(lines) == {"a": 1}
    assert "at line 3, column 8" in message_of(lambda: next(lines))


def test_an_error_in_jsonp_names_the_place_in_the_whole_body():
    assert "line 2, column 7" in message_of(body_of(b'cb({"a": 1,\n "b": nul});').jsonp)


@pytest.mark.parametrize("body", [b'cb({"a": 1}', b'cb({"a": 1}) + 1', b"cb("])
def test_jsonp_that_is_cut_off_says_so(body):
    assert "not closed" in message_of(body_of(body).jsonp)


def test_hostile_comments_take_no_time():
    body = b"/*a*/ " * 50_000 + b"!"

    assert "not JSON" in message_of(body_of(body).jsonp)


@given(body=st.binary())
def test_any_bytes_are_json_or_unreadable(body):
    payload = body_of(body)

    for read in (payload.json, payload.jsonp, lambda: list(payload.json_lines())):
        with suppress(BodyUnreadable):
            read()
