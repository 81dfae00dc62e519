"""Drift: what appeared, vanished and changed type, and what is none of it."""

from collections import Counter
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raw_store.archive import Archive
from reshape import observing
from reshape.drift import MAP_KEYS, MAX_DEPTH, MAX_FIELDS, Observer
from reshape.observing import form_of, observe, observe_feed
from tests.making import START, at, make_payload

FEED = "sample.pages"


def reported(*documents):
    observer = Observer()
    for minute, document in enumerate(documents):
        observer.begin(at(minute), at(minute))
        observer.json(document)
    return observer.report()


def shown(*bodies, content_type: str | None = "application/json", url="http://library.example/"):
    observer = Observer()
    for minute, body in enumerate(bodies):
        observer.begin(at(minute), at(minute))
        observe(observer, make_payload(FEED, body, content_type=content_type, url=url))
    return observer.report()


def statuses(report):
    return {field.path: list(field.status) for field in report.fields if field.status}


def field_at(report, path):
    (found,) = [field for field in report.fields if field.path == path]
    return found


def test_a_field_that_appears():
    report = reported({"a": 1}, {"a": 1}, {"a": 1, "b": "x"})

    assert statuses(report) == {"b": ["appeared"]}
    field = field_at(report, "b")
    assert (field.first_at, field.payload_count, field.parent_count) == (at(2), 1, 3)


def test_a_field_that_vanishes():
    report = reported({"a": [{"b": 1}]}, {"a": [{"b": 1}, {}]}, {"a": [{}]}, {"a": [{}]})

    assert statuses(report) == {"a[].b": ["vanished"]}
    field = field_at(report, "a[].b")
    assert (field.last_at, field.missing_count) == (at(1), 2)


def test_an_empty_list_says_nothing_of_the_fields_of_its_items():
    assert statuses(reported([{"a": 1}], [], [])) == {}


def test_a_field_that_comes_and_goes_is_no_drift():
    with_it, without = {"a": 1, "b": 1}, {"a": 1}
    report = reported(without, with_it, without, without, with_it, without)

    assert statuses(report) == {}
    assert field_at(report, "b").payload_count == 2


def test_a_type_that_ends_before_another_begins_is_a_change():
    report = reported({"id": 1}, {"id": 2}, {"id": "3"})

    assert statuses(report) == {"id": ["changed type"]}
    number, text = field_at(report, "id").types
    assert (number.name, number.last_at, number.payload_count) == ("integer", at(1), 2)
    assert (text.name, text.first_at) == ("string", at(2))


def test_null_until_a_day_and_text_since_is_a_change():
    assert statuses(reported({"a": None}, {"a": None}, {"a": "x"})) == {"a": ["changed type"]}


def test_types_that_alternate_are_mixed_and_no_drift():
    report = reported({"a": 1}, {"a": "x"}, {"a": 1})

    assert statuses(report) == {"a": ["mixed types"]}
    assert not field_at(report, "a").is_drift


def test_whole_and_other_numbers_are_one_type():
    assert statuses(reported({"a": 1}, {"a": 1.5}, {"a": 2.5})) == {}


def test_another_form_of_the_whole_body_is_told_at_the_root():
    report = reported({"list": [{"a": 1}]}, [{"a": 1}])

    assert statuses(report) == {"$": ["changed type"]}
    paths = {field.path for field in report.fields}
    assert paths == {"$", "list", "list[]", "list[].a", "[]", "[].a"}


def test_an_object_used_as_a_map_is_one_field():
    keys = [f"name{chr(97 + n % 26)}{'x' * (n // 26)}" for n in range(MAP_KEYS * 3)]
    report = reported(*({"by": {key: {"v": 1}}} for key in keys))

    assert [field.path for field in report.fields] == ["$", "by", "by.*", "by.*.v"]
    assert statuses(report) == {}
    assert field_at(report, "by.*.v").last_at == at(len(keys) - 1)


@pytest.mark.parametrize(
    "key",
    ["2026-01-01", "12", "2026-01-01T00:00:00Z", "-3.5", "0190a1b2-0000-7000-8000-00000000000a",
     "a1" * 12, "k" * 201],
)  # fmt: skip
def test_keys_that_are_data_are_a_map_at_once(key):
    assert [field.path for field in reported({key: 1}).fields] == ["$", "*"]


def test_keys_that_look_like_paths_are_not_taken_for_them():
    report = reported({"a.b": 1, "[]": 2, "*": 3, "": 4, "/x": 5, "a": [6]})

    paths = {field.path for field in report.fields}
    assert paths == {"$", '"a.b"', '"[]"', '"*"', '""', '"/x"', "a", "a[]"}


def test_hostile_nesting_is_cut_off_and_counted():
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    report = reported(deep, {"a": 1})
    while isinstance(deep, list):  # taken apart by hand: freeing it at once would recurse
        deep = deep[0]

    assert report.too_deep_count == 1
    assert len(report.fields) == MAX_DEPTH + 2
    assert shown(b"[" * 100_000).fields[0].types[0].name == "unreadable"


def test_fields_without_number_are_cut_off_and_counted():
    tree = {f"k{'x' * a}": {f"k{'x' * b}": 1 for b in range(150)} for a in range(100)}

    report = reported(tree)

    assert len(report.fields) <= MAX_FIELDS
    assert report.left_out_count > 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(0, 1) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)


def paths_in(value, path=""):
    """Every path of a value with its type, by plain recursion."""
    names = {dict: "object", list: "array", str: "string", int: "integer", float: "number",
             bool: "boolean", type(None): "null"}  # fmt: skip
    yield path, names[type(value)]
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_in(inner, f"{path}.{key}")
    if isinstance(value, list):
        for inner in value:
            yield from paths_in(inner, f"{path}[]")


@given(st.lists(JSON, min_size=1, max_size=6))
def test_counts_and_times_are_those_found_by_looking(documents):
    report = reported(*documents)

    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], int] = {}
    for minute, document in enumerate(documents):
        for seen in set(paths_in(document)):
            counts[seen] += 1
            first.setdefault(seen, minute)
            last[seen] = minute
    told = {
        (path, each.name): (each.payload_count, each.first_at, each.last_at)
        for field in report.fields
        for path in ["" if field.path == "$" else field.path]
        for each in field.types
    }
    assert told == {
        (path.removeprefix("."), kind): (count, at(first[path, kind]), at(last[path, kind]))
        for (path, kind), count in counts.items()
    }


@given(st.lists(st.fixed_dictionaries({"a": JSON}), min_size=1, max_size=5))
def test_payloads_that_are_all_alike_never_drift(documents):
    document = documents[0]

    assert not any(field.is_drift for field in reported(*[document] * 4).fields)


def test_columns_of_a_table():
    head, later = b"day;rate\n1;2\n", b"\xef\xbb\xbfday;rate;source\n1;2;3\n"
    report = shown(head, later, content_type="text/csv")

    assert statuses(report) == {"source": ["appeared"]}
    assert {field.path for field in report.fields} == {"$", "day", "rate", "source"}


@pytest.mark.parametrize(
    ("content_type", "data"), [("text/csv", b"day,rate\n1,2\n"), ("text/xml", b"<feed><e/></feed>")]
)
@pytest.mark.parametrize("error", [b"", b"<html><p>Sorry</p></html>", b"<feed"])
def test_what_a_body_of_another_form_lacks_is_no_drift(content_type, data, error):
    observer = Observer()
    for minute, (body, kind) in enumerate([(data, content_type), (error, "text/html")]):
        observer.begin(at(minute), at(minute))
        observe(observer, make_payload(FEED, body, content_type=kind))

    assert statuses(observer.report()) == {"$": ["changed type"]}


def test_paths_of_elements():
    before = b"<feed xmlns='http://e/'><entry id='1'><title>T</title></entry></feed>"
    after = b"<feed xmlns='http://e/'><entry><title>T</title><link/></entry></feed>"
    report = shown(before, after, after, content_type=None)

    assert statuses(report) == {
        "feed/entry/@id": ["vanished"],
        "feed/entry/link": ["appeared"],
    }


def test_a_page_in_place_of_data_is_a_change_of_the_whole():
    report = shown(b'{"a": 1}', b"<!DOCTYPE html><html><body><p>Sorry</p></body></html>")

    assert statuses(report)["$"] == ["changed type"]
    assert "html/body/p" in {field.path for field in report.fields}


@pytest.mark.parametrize(
    ("body", "content_type", "form"),
    [
        (b"", None, "empty"),
        (b" \n", "application/json", "empty"),
        (b"[1]", None, "json"),
        (b"7", "application/json", "json"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><a/>", None, "xml"),
        (b"<p>x", "text/html", "html"),
        (b"a,b", "text/csv", "csv"),
        (b"PK\x03\x04\x00\x00", None, "binary"),
        (b"hello", "text/plain", "text"),
        ("<feed/>".encode("utf-16"), "text/xml", "xml"),
        ("<html></html>".encode("utf-16"), "text/html", "html"),
        ("[1]".encode("utf-32"), "text/plain", "json"),
        ("x".encode("utf-16"), None, "text"),
        (b"\xef\xbb\xbf", "text/csv", "empty"),
    ],
)
def test_the_form_of_a_body(body, content_type, form):
    assert form_of(make_payload(FEED, body, content_type=content_type)) == form


def test_tags_that_are_no_names_are_shown_as_they_are():
    body = b'<!DOCTYPE html><html><body><a:b>x</a:b><p"q>y</p></body></html>'

    report = shown(body, content_type=None)

    assert {"html/body/a:b", 'html/body/"p\\"q"'} <= {field.path for field in report.fields}


@given(st.binary(max_size=60), st.sampled_from([None, "text/html", "text/csv", "text/xml"]))
def test_any_body_is_told_of(body, content_type):
    report = shown(body, content_type=content_type)

    assert field_at(report, "$").payload_count == 1


@pytest.mark.django_db
def test_a_feed_is_observed_in_the_order_of_time_whatever_that_of_its_archiving(home):
    archive = Archive()
    bodies: list[tuple[int, dict[str, Any]]] = [
        (5, {"a": "x"}), (0, {"a": 1}), (3, {"a": 2}), (4, {"a": 2}), (6, {"b": 1}),
    ]  # fmt: skip
    for minute, body in bodies:
        archive.append_all(FEED, [make_payload(FEED, body, minute=minute)])
    archive.append_all(FEED, [make_payload(FEED, b"gone", minute=7, status=404)])

    observed = observe_feed(FEED, archive)

    field = field_at(observed.report, "a")
    assert field.status == ("vanished", "changed type")
    assert [(each.name, each.first_at, each.last_at) for each in field.types] == [
        ("integer", at(0), at(4)),
        ("string", at(5), at(5)),
    ]
    assert observed.report.payload_count == 4
    assert observe_feed(FEED, archive, since=at(4)).report.payload_count == 3


@pytest.mark.django_db
def test_a_body_too_large_to_look_at_is_counted(home, monkeypatch):
    archive = Archive()
    large = orjson.dumps({"a": "x" * 100})
    archive.append_all(FEED, [make_payload(FEED, large), make_payload(FEED, {"a": 1}, minute=1)])
    monkeypatch.setattr(observing, "MAX_BODY", 50)

    observed = observe_feed(FEED, archive)

    assert (observed.too_large_count, observed.report.payload_count) == (1, 1)


def test_a_payload_is_as_long_as_it_was_seen():
    observer = Observer()
    observer.begin(START, START + timedelta(days=9))
    observer.json({"a": 1})

    assert field_at(observer.report(), "a").last_at == START + timedelta(days=9)


def test_a_field_that_comes_and_goes_does_so_in_a_map_too():
    keys = {f"k{number}": {"a": 1, "b": 1} for number in range(MAP_KEYS + 1)}
    there, away = {"k0": {"a": 1, "b": 1}}, {"k0": {"a": 1}}

    report = reported(*({"m": items} for items in (there, away, away, there, keys, away)))

    assert field_at(report, "m.*.b").missing_count == 1
    assert "m.*.b" not in statuses(report)
