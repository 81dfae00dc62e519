"""Transforms in SQL: the same rows and the same quarantine as their twins in Python."""

import re
from dataclasses import replace
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raw_store.archive import Archive
from raw_store.rows import to_table
from reshape import executors, registry, sql_parse
from reshape.fingerprint import fingerprint
from reshape.models import QuarantineEntry
from reshape.parse import label_of, parse_payloads, parse_segments
from reshape.records import OUTCOMES, records_dir
from reshape.registry import Transform
from reshape.sql_discovery import read_transform
from reshape.sql_transform import select_of
from sources.quakes.models import Quake
from sources.quakes.transform import transform_day
from tests.making import make_payload
from tests.reshape.sql_twins import BODIES, BOOKS, TWIN, as_json
from tests.sample.models import Author, Book
from tests.sources.recorded import recorded, rows_of

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def write(tmp_path):
    """Writes one file of SQL and gives its transform."""

    def write(sql: str, name: str = "book.sql") -> Transform:
        path = tmp_path / "transforms" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(sql.strip() + "\n")
        return read_transform("sample", path)

    return write


@pytest.fixture
def archive(home):
    return Archive()


def pages(bodies):
    return [
        make_payload("sample.pages", body, minute=number, url=f"http://library.example/{number}")
        for number, body in enumerate(bodies)
    ]


_BOOK = {"code": "a", "title": "", "author_id": "a", "price": None, "added_at": None}
# Of several bad rows the first is told of, whichever of them DuckDB is certain about.
BAD_JSON, NULL_JSON = _BOOK | {"tags": {"\x00": None}}, _BOOK | {"tags": None}


def read(folder, transform):
    files = records_dir(folder, label_of(transform)).glob("*.parquet")
    return [row for path in sorted(files) for row in pq.read_table(path).to_pylist()]


def said(transform, table="sample_book"):
    """Its records and outcomes; the messages without the transform's own name."""
    outcomes = read(OUTCOMES, transform)
    for outcome in outcomes:
        message = outcome["message"] or ""
        message = message.partition("BodyUnreadable: ")[2] or message
        # Only Python has lines to name.
        outcome["message"] = re.sub(r" \(line \d+ of [^)]*\)", "", message)
    by_payload = sorted(outcomes, key=lambda row: row["fetch_id"])
    records = read(table, transform)
    return sorted(records, key=lambda r: (r["fetch_id"], r["_ordinal"])), by_payload


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bodies=st.lists(BODIES, min_size=4, max_size=12))
@example(bodies=[{"books": [BAD_JSON, NULL_JSON]}, {"books": [NULL_JSON, BAD_JSON]}])
def test_twins_in_sql_and_python_say_the_same(bodies, write, home):
    twin = write(BOOKS)
    payloads = pages([as_json(body) for body in bodies])

    parse_payloads(TWIN, payloads)
    parse_payloads(twin, payloads)

    try:
        assert said(twin) == said(TWIN)
    finally:
        for path in (home / "records").rglob("*.parquet"):
            path.unlink()


def test_one_payload_that_fails_leaves_its_neighbours(archive, write):
    transform = write(
        """
        -- feed: sample.pages
        SELECT fetch_id, json ->> 'code' AS code, (json ->> 'n')::INTEGER::VARCHAR AS name
        FROM payloads
        """,
        "author.sql",
    )
    numbers = [str(number) for number in range(40)]
    numbers[7], numbers[31] = "seven", "thirty-one"
    archive.append_all(
        "sample.pages", pages([{"code": f"a{at}", "n": n} for at, n in enumerate(numbers)])
    )

    parsed = parse_segments([transform], archive)

    _, outcomes = said(transform, "sample_author")
    assert (parsed.record_count, parsed.quarantined_count) == (38, 2)
    assert [(o["error"], o["message"]) for o in outcomes if o["error"]] == [
        (
            "ConversionException",
            "Feed sample.pages: sample.author: ConversionException: "
            f"Conversion Error: Could not convert string '{word}' to INT32",
        )
        for word in ("seven", "thirty-one")
    ]


def test_one_payload_that_takes_too_long_leaves_its_neighbours(archive, write, settings):
    settings.TRANSFORM_TIME_LIMIT = 0.5
    transform = write(
        """
        -- feed: sample.pages
        SELECT fetch_id, json ->> 'code' AS code, (
            SELECT sum(sqrt(x)) FROM range((json ->> 'n')::BIGINT) AS r (x)
        )::VARCHAR AS name
        FROM payloads
        """,
        "author.sql",
    )
    counts = [5, 7, 10**13, 6]
    archive.append_all(
        "sample.pages", pages([{"code": f"a{at}", "n": n} for at, n in enumerate(counts)])
    )

    parsed = parse_segments([transform], archive)

    records, outcomes = said(transform, "sample_author")
    (refused,) = [outcome for outcome in outcomes if outcome["error"]]
    assert [row["code"] for row in records] == ["a0", "a1", "a3"]
    assert parsed.quarantined_count == 1
    assert refused["error"] == "Overlong"
    assert "takes more than 0.5 s over this payload (TRANSFORM_TIME_LIMIT)" in refused["message"]


def test_payload_without_rows_has_an_outcome(archive, write):
    transform = write(BOOKS)
    archive.append_all("sample.pages", pages([{"books": []}, {}]))

    parsed = parse_segments([transform], archive)

    records, outcomes = said(transform)
    assert records == []
    assert [(o["record_count"], o["error"]) for o in outcomes] == [(0, None), (0, None)]
    assert (parsed.payload_count, parsed.record_count, parsed.quarantined_count) == (2, 0, 0)


def test_payloads_without_rows_are_read_where_the_model_has_a_list_of_links(home, tmp_path):
    path = tmp_path / "vessel.sql"
    path.write_text(
        "-- feed: port.pages\nSELECT fetch_id, "
        "unnest(from_json(json, '[\"VARCHAR\"]')) AS code, 'n' AS name FROM payloads"
    )
    transform = read_transform("port", path)
    some, none = [
        make_payload("port.pages", body, sequence=n) for n, body in enumerate([["a"], []])
    ]

    parsed = [parse_payloads(transform, [payload]) for payload in (some, none)]

    assert [(each.record_count, each.quarantined_count) for each in parsed] == [(1, 0), (0, 0)]
    (record,) = read("port_vessel", transform)
    assert (record["code"], record["cargoes"], record["length_m"]) == ("a", [], 7)


def test_records_keep_the_arrays_order_and_know_their_payload(archive, write):
    transform = write(
        """
        -- feed: sample.pages
        SELECT fetch_id, unnest(from_json(json, '["VARCHAR"]')) AS code, url AS name FROM payloads
        """,
        "author.sql",
    )
    archive.append_all("sample.pages", pages([["b", "a"], ["d", "c", "d"]]))

    parse_segments([transform], archive)

    records, _ = said(transform, "sample_author")
    assert [(r["code"], r["_ordinal"], r["name"]) for r in records] == [
        ("b", 0, "http://library.example/0"),
        ("a", 1, "http://library.example/0"),
        ("d", 0, "http://library.example/1"),
        ("c", 1, "http://library.example/1"),
        ("d", 2, "http://library.example/1"),
    ]
    first = pages([["b", "a"]])[0]
    assert {r["fetch_id"] for r in records[:2]} == {str(first.fetch_id)}
    assert records[0]["_request_key"] == first.request_key
    assert records[0]["_fetched_at"] == first.fetched_at


def test_several_threads_keep_the_order(write, home, settings):
    settings.PARSE_WORKERS = 4
    transform = write(
        """
        -- feed: sample.pages
        SELECT fetch_id, unnest(from_json(json, '["VARCHAR"]')) AS code, 'n' AS name FROM payloads
        """,
        "author.sql",
    )
    payloads = pages([[str((at * 7 + n) % 31) for n in range(31)] for at in range(3000)])

    parse_payloads(transform, payloads)

    (path,) = records_dir("sample_author", label_of(transform)).glob("*.parquet")
    rows = pq.read_table(path, columns=["code", "_ordinal"])
    assert rows["_ordinal"].to_pylist() == list(range(31)) * 3000
    assert rows["code"].to_pylist() == [
        str((at * 7 + n) % 31) for at in range(3000) for n in range(31)
    ]


def test_rows_of_a_join_lie_in_an_order_of_their_own(write, home):
    """No batch, and no neighbour in it, changes which row comes first."""
    transform = write(
        """
        -- feed: sample.pages
        SELECT fetch_id, u.code AS code, 'n' AS name, max(u.code) AS mentor_id
        FROM payloads, unnest(from_json(json, '["VARCHAR"]')) AS u (code)
        GROUP BY fetch_id, u.code
        """,
        "author.sql",
    )
    payloads = pages([[str(n * 7 % 50) for n in range(50)] for _ in range(20)])

    parse_payloads(transform, payloads)

    records, _ = said(transform, "sample_author")
    assert [r["code"] for r in records] == sorted({str(n) for n in range(50)}) * 20


def test_workers_run_both_kinds(archive, write, monkeypatch, settings):
    settings.PARSE_WORKERS = 2
    monkeypatch.setattr(executors, "MEASURED_S", 0)
    monkeypatch.setattr(executors, "POOL_START_S", -1)
    monkeypatch.setattr(executors, "HELPS", False)
    in_python = registry._transforms["sample.transform_pages"]
    in_sql = write(BOOKS)
    book = {"code": "b", "title": "T", "author_id": "a", "price": "1.50", "tags": [2, {"b": 1}]}
    for page in pages([{"books": [{**book, "code": str(at)}]} for at in range(4)]):
        archive.append_all("sample.pages", [page])

    parsed = parse_segments([in_python, in_sql], archive)

    assert (parsed.segment_count, parsed.record_count) == (4, 8)
    assert [row["code"] for row in said(in_sql)[0]] == [row["code"] for row in said(in_python)[0]]
    assert said(in_sql)[0] == said(in_python)[0]


def test_text_is_decoded_as_the_payload_says(write, home):
    transform = write(
        "-- feed: sample.pages\nSELECT fetch_id, text AS code, 'n' AS name FROM payloads",
        "author.sql",
    )
    bodies = ["é".encode("latin-1"), b"\xef\xbb\xbfb", "ü".encode(), b"\xe9"]
    kinds = ["text/plain; charset=latin-1", "text/plain", 'text/x; charset="UTF-8"', "text/plain"]
    payloads = [
        replace(page, content_type=kind) for page, kind in zip(pages(bodies), kinds, strict=True)
    ]

    parse_payloads(transform, payloads)

    records, outcomes = said(transform, "sample_author")
    assert [row["code"] for row in records] == ["é", "b", "ü", "é"]
    assert [o["error"] for o in outcomes] == [None] * 4


MARKUP = [
    (b"<meta charset=iso-2022-jp><p>" + "日本".encode("iso-2022-jp"), "text/html"),
    (b"<meta charset=iso-2022-jp><p>" + "日本".encode("iso-2022-jp"), "text/html; charset=utf-8"),
    ('<?xml version="1.0" encoding="windows-1251"?><a>ё</a>'.encode(), "text/xml"),
    ('<?xml version="1.0" encoding="windows-1251"?><a>ё</a>'.encode(), None),
    ('<?xml version="1.0" encoding="utf-16"?><a/>'.encode("utf-16-le"), "text/xml"),
    ('<?xml version="1.0" encoding="utf-16"?><a/>'.encode("utf-16-be"), None),
    ("<meta charset=utf-8><p>ü".encode(), "text/html"),
    ("<META http-equiv=content-type content='text/html; CHARSET=latin1'>ü".encode(), "text/html"),
    ('{"encoding": "latin1", "ü": 1}'.encode(), "application/json"),
]


def test_text_is_read_in_the_charset_that_markup_declares(write, home):
    transform = write(
        "-- feed: sample.pages\nSELECT fetch_id, 'a' AS code, replace(text, chr(0), '0') AS name "
        "FROM payloads",
        "author.sql",
    )
    payloads = [
        replace(page, content_type=kind)
        for page, (_, kind) in zip(pages([body for body, _ in MARKUP]), MARKUP, strict=True)
    ]

    parse_payloads(transform, payloads)

    records, _ = said(transform, "sample_author")
    assert [row["name"] for row in records] == [payload.text for payload in payloads]


def test_batches_are_cut_by_bytes_and_lose_nothing(monkeypatch):
    monkeypatch.setattr(sql_parse, "BATCH_BYTES", 100)
    tables = [to_table(pages([b"x" * size for size in sizes])) for sizes in ([30, 80, 5], [250, 1])]

    cut = list(sql_parse.batches(iter(tables)))

    assert [batch.num_rows for batch in cut] == [2, 2, 1]
    assert pa.concat_tables(cut).to_pylist() == pa.concat_tables(tables).to_pylist()


def test_called_with_a_payload_it_yields_rows(write):
    transform = write(BOOKS)
    book = {"code": "b", "title": "T", "author_id": "a", "price": None, "tags": {"b": 1, "a": 2.0}}

    (row,) = transform.function(make_payload("sample.pages", {"books": [book]}))

    assert row.model is Book
    assert row.values == {**book, "added_at": None}


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        (BOOKS.replace("\nSELECT", "\n\n   SELECT"), True),
        (BOOKS.replace("FROM books", "from books -- all of them"), True),
        (BOOKS.replace("b.code,", "lower(b.code::VARCHAR)::JSON AS code,"), False),
        (BOOKS.replace("'$.books'", "'$.Books'"), False),
    ],
)
def test_only_the_statement_counts_for_the_fingerprint(write, changed, is_same):
    assert (fingerprint(write(BOOKS)) == fingerprint(write(changed))) == is_same


def test_typed_columns_are_held_to_the_models_columns(write, home):
    transform = write(
        """
        -- feed: sample.pages
        SELECT fetch_id, json ->> 'code' AS code, json ->> 'title' AS title, 'a' AS author_id,
            TRY_CAST(json ->> 'price' AS DECIMAL(18, 4)) AS price, [1, 2] AS tags
        FROM payloads
        """
    )
    good = {"code": "a", "title": "T", "price": 1.25}
    parse_payloads(
        transform,
        pages(
            [good, {**good, "code": None}, {**good, "price": 1.255}, {**good, "title": "x" * 201}]
        ),
    )

    records, outcomes = said(transform)
    assert [(r["code"], str(r["price"]), orjson.loads(r["tags"])) for r in records] == [
        ("a", "1.25", [1, 2])
    ]
    assert [(o["error"], o["model"], o["field"]) for o in outcomes if o["error"]] == [
        ("RowInvalid", "Book", "code"),
        ("RowInvalid", "Book", "price"),
        ("RowInvalid", "Book", "title"),
    ]
    assert "it has 3 decimal places" in outcomes[2]["message"]


def test_a_replay_loads_and_quarantines_what_sql_says(archive, write, monkeypatch):
    from etl.walk import refresh

    transform = write(
        "-- feed: sample.pages\n"
        "SELECT fetch_id, json -> 'code' AS code, json -> 'name' AS name FROM payloads",
        "author.sql",
    )
    monkeypatch.setitem(registry._transforms, transform.name, transform)
    monkeypatch.delitem(registry._transforms, "sample.transform_pages")
    good, bad = pages([{"code": "a", "name": "Ann"}, {"code": "b", "name": None}])
    archive.append_all("sample.pages", [good, bad])

    refresh("sample")

    author = Author.objects.get()
    entry = QuarantineEntry.objects.get(source="sample")
    assert (author.code, author.name, author.fetch_id) == ("a", "Ann", good.fetch_id)
    assert (entry.fetch_id, entry.transform, entry.field) == (
        bad.fetch_id,
        "sample.author",
        "name",
    )


def test_the_example_of_the_docs_gives_the_rows_of_its_twin(tmp_path):
    page = (ROOT / "docs" / "transforms-in-sql.md").read_text()
    (sql,) = re.findall(r"```sql\n(.*?)```", page, re.S)
    path = tmp_path / "quake.sql"
    path.write_text(sql)
    transform = read_transform("quakes", path)
    body = ROOT / "tests" / "sources" / "quakes" / "payloads" / "all_day.geojson"
    payload = recorded("quakes.day", body, url="http://quakes.example/")

    rows = rows_of(Quake, transform.function(payload))

    twins = rows_of(Quake, transform_day(payload))
    shared = [name for name, _ in select_of(transform).columns if name != "fetch_id"]
    assert len(rows) > 1
    assert [{name: row[name] for name in shared} for row in rows] == [
        {name: twin[name] for name in shared} for twin in twins
    ]
