"""A transform in SQL and its twin in Python, and bodies on which they might differ."""

import json

from hypothesis import strategies as st

from reshape.registry import Transform
from tests.sample.models import Book

BOOKS = """
-- feed: sample.pages
WITH books AS (
    SELECT
        fetch_id,
        unnest(from_json(json -> '$.books', '[{"code": "JSON", "title": "JSON",
            "author_id": "JSON", "price": "JSON", "added_at": "JSON", "tags": "JSON"}]')) AS b
    FROM payloads
)
SELECT fetch_id, b.code, b.title, b.author_id, b.price, b.added_at, b.tags
FROM books
"""
FIELDS = ("code", "title", "author_id", "price", "added_at", "tags")


def books_in_python(payload):
    body = payload.json()
    books = body.get("books") if isinstance(body, dict) else None
    for book in books if isinstance(books, list) else ():
        given = book if isinstance(book, dict) else {}
        yield Book.row(**{name: given.get(name) for name in FIELDS})


TWIN = Transform(
    name="sample.twin", feed="sample.pages", function=books_in_python, code_digest="twin"
)


TEXT = st.one_of(st.text(max_size=8), st.sampled_from(["é\u0000", '"\\', "x" * 33, "\U0001f400"]))
NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 1.0, 1e5, 2**63, 2**64, -(2**63) - 1, 999999.99, 123.456]),
)
SIMPLE = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
JSON = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
PRICES = st.one_of(
    st.none(),
    st.decimals(-(10**6), 10**6, places=2).map(str),
    st.integers(-(10**7), 10**7),
    st.sampled_from(["1.234", " 1.5 ", "1e3", "1_0", "NaN", "", "+1.5", ".5", "5.", "-0", "٣"]),
    JSON,
)
TIMES = st.one_of(
    st.none(),
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    st.sampled_from(
        ["2026-01-01T00:00:00", "2026-01-01", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00",
         "2026-01-01 00:00:00.123456789+05:30", "2026-01-01T23:59:60Z", "20260101T000000Z",
         "2026-01-01T24:00:00Z", "9999-12-31T23:59:59-12:00", "0000-01-01T00:00:00Z"]
    ),
    JSON,
)  # fmt: skip
GOOD = st.fixed_dictionaries(
    {
        "code": st.sampled_from("abc"),
        "title": st.text(max_size=5).filter(lambda text: "\x00" not in text),
        "author_id": st.just("a"),
        "price": st.none() | st.decimals(0, 99, places=1).map(str),
        "added_at": st.none() | st.just("2026-01-01T12:00:00+01:00"),
        "tags": JSON.filter(lambda value: value is not None),
    }
)
ANY = st.fixed_dictionaries(
    {
        "code": TEXT | JSON,
        "title": TEXT | JSON,
        "author_id": TEXT,
        "price": PRICES,
        "added_at": TIMES,
        "tags": JSON,
    }
)
# One value at a time: beside others that are wrong, a value that is let through would not show.
ODD: st.SearchStrategy[dict[str, object]] = st.one_of(
    *(
        st.builds(lambda good, odd, name=name: {**good, name: odd}, GOOD, values)
        for name, values in {
            "code": TEXT | JSON,
            "title": TEXT | JSON,
            "price": PRICES,
            "added_at": TIMES,
            "tags": JSON,
        }.items()
    )
)
BODIES = st.one_of(
    st.builds(dict, books=st.lists(ODD, min_size=1, max_size=2)),
    st.builds(dict, books=st.lists(ODD, min_size=1, max_size=2)),
    st.builds(dict, books=st.lists(GOOD | ANY, max_size=2)),
    st.builds(dict, books=st.lists(GOOD, max_size=2), other=JSON),
    st.sampled_from([{}, {"books": None}, {"books": {}}, [], 5]),
    st.sampled_from([b"", b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"books": [,]}', b'"\xe9"']),
    st.binary(max_size=4),
)


def as_json(body):
    """Numbers that JSON has and Python's fast writer does not are written by the slow one."""
    if isinstance(body, bytes):
        return body
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
