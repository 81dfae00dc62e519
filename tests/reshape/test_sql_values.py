"""Each odd value alone in its payload: SQL takes, refuses and words it as Python does."""

import json
import re

import pyarrow.parquet as pq
import pytest

from reshape.columns import columns_of
from reshape.parse import label_of, parse_payloads
from reshape.records import OUTCOMES, records_dir
from reshape.registry import Transform
from reshape.sql_discovery import read_transform
from tests.api.garden.models import Bed, Plant, Shelf
from tests.making import make_payload
from tests.sample.models import Author, Book, Loan

TEXTS = [
    "", "a", "é", "\U0001f400", "x"*16, "x"*17, "é"*17, "x"*51, "x"*201, "a\x00b", '"', "\\",
    "null", "true", "0", "-0", "1.5", " 1.5 ", "+1.5", ".5", "5.", "1e3", "1_0", "NaN",
    "Infinity", "٣", "1.23456", "123456789", "99999999.9999", "-99999999.9999", "123456.78",
    "0.10000", "00012", "2026-01-01", "2026-02-30", "20260101", "2026-W01-1", "0001-01-01",
    "0000-01-01", "2026-1-1", " 2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00Z",
    "2026-01-01 00:00:00.123456+05:30", "2026-01-01T00:00:00.1234567+05:30",
    "2026-01-01T23:59:60Z", "2026-01-01T24:00:00Z", "20260101T000000Z", "2026-01-01T00:00Z",
    "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00",
    "9999-12-31T23:59:59Z", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00-00:30",
    "2026-01-01t00:00:00z", "10000-01-01", "infinity", "epoch", "12:34:56", "12:34:56.5", "12:34",
    "24:00:00", "12:34:56Z", "1:02:03", "123456", "12:34:60",
    "12345678-1234-5678-1234-567812345678", "12345678-1234-5678-1234-56781234567",
    "12345678-1234-5678-1234-5678ABCDEF01", "{12345678-1234-5678-1234-567812345678}",
    "12345678123456781234567812345678", "urn:uuid:12345678-1234-5678-1234-567812345678",
]  # fmt: skip
OTHERS = [
    None, True, False, 0, -1, 1, 7, 32768, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1,
    2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**40, 0.0, -0.0, 1.0, 1.5, 5e-324, 1.7e308,
    1e22, 123456789.123, [], [1, [None, "é"]], {}, {"b": 1, "a": {"d": 1.0, "c": None}},
    {"ä": "\x00"},
]  # fmt: skip
MODELS = [Author, Bed, Book, Loan, Plant, Shelf]


def ids(model):
    return model.__name__


def given_columns(model):
    """The columns a payload of JSON can fill: not the binary ones."""
    return [each.name for each in columns_of(model).given if each.name != "leaf_scan"]


def good_row(model):
    """A row of JSON that the model takes."""
    fitting = {
        "number": 1, "level": 1, "loan_count": 1, "plant_id": 1, "day": "2026-01-01", "tags": [],
    }  # fmt: skip
    return {
        name: fitting.get(name, None if each.nullable else "a")
        for name in given_columns(model)
        for each in columns_of(model).given
        if each.name == name
    }


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
def test_number_that_json_does_not_have_is_refused(number, home, tmp_path):
    """DuckDB's reader lets it pass; the column does not."""
    path = tmp_path / "plant.sql"
    path.write_text(
        "-- feed: garden.pages\nSELECT fetch_id, json -> 'n' AS number, 'a' AS name, "
        "json -> 'h' AS height_m FROM payloads"
    )
    transform = read_transform("garden", path)
    body = f'{{"n": 1, "h": {number}}}'.encode()

    parse_payloads(transform, [make_payload("garden.pages", body)])

    (outcome,) = read(transform)
    assert (outcome["error"], outcome["field"]) == ("RowInvalid", "height_m")


def test_json_that_nests_too_deep_is_refused_and_its_neighbour_counts(home, tmp_path):
    path = tmp_path / "plant.sql"
    path.write_text(
        "-- feed: garden.pages\n"
        "SELECT fetch_id, sequence AS number, 'a' AS name, json AS notes FROM payloads"
    )
    transform = read_transform("garden", path)
    bodies = [b"[" * depth + b"]" * depth for depth in (1, 300, 2000)]

    parse_payloads(
        transform,
        [make_payload("garden.pages", body, sequence=n) for n, body in enumerate(bodies)],
    )

    assert [row["number"] for row in read(transform, Plant)] == [0]
    outcomes = [(each["error"], each["field"]) for each in read(transform) if each["error"]]
    assert outcomes == [("RowInvalid", "notes")] * 2


def compare(model, bodies, select, tmp_path):
    """Both twins over payloads of one row each; asserts that they say the same."""
    source = model._meta.app_label
    names = given_columns(model)

    def in_python(payload):
        body = payload.json()
        yield model.row(**{name: body[name] for name in names})

    twin = Transform(
        name=f"{source}.twin", feed=f"{source}.pages", function=in_python, code_digest="t"
    )
    path = tmp_path / f"{model.__name__}.sql"
    columns = ", ".join(f"{select.format(name=name)} AS {name}" for name in names)
    path.write_text(f"-- feed: {source}.pages\nSELECT fetch_id, {columns} FROM payloads")
    in_sql = read_transform(source, path)
    payloads = [
        make_payload(twin.feed, json.dumps(body).encode(), sequence=number)
        for number, body in enumerate(bodies)
    ]

    parse_payloads(twin, payloads)
    parse_payloads(in_sql, payloads)

    assert read(in_sql, model) == read(twin, model)
    assert read(in_sql) == read(twin)
    assert read(in_sql, model)


def read(transform, model=None):
    folder = model._meta.db_table if model else OUTCOMES
    files = records_dir(folder, label_of(transform)).glob("*.parquet")
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    for row in rows:
        if row.get("message"):
            # Only Python has lines to name.
            row["message"] = re.sub(r" \(line \d+ of [^)]*\)", "", row["message"])
    return sorted(rows, key=lambda row: row["fetch_id"])


@pytest.mark.parametrize("model", MODELS, ids=ids)
def test_values_of_json_are_judged_alike(model, home, tmp_path):
    good = good_row(model)
    bodies = [good] + [
        {**good, name: value} for name in given_columns(model) for value in [*TEXTS, *OTHERS]
    ]

    compare(model, bodies, "json -> '$.{name}'", tmp_path)


@pytest.mark.parametrize("model", [Author, Bed], ids=ids)
def test_values_of_text_are_judged_alike(model, home, tmp_path):
    good = {name: value or "1" for name, value in good_row(model).items()}
    bodies = [good] + [{**good, name: value} for name in given_columns(model) for value in TEXTS]

    compare(model, bodies, "json ->> '$.{name}'", tmp_path)


@pytest.mark.parametrize(
    ("model", "column", "kind", "values"),
    [
        (Plant, "number", "HUGEINT", [0, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1]),
        (Plant, "seed_count", "BIGINT", [0, -1, 2**63 - 1]),
        (Shelf, "level", "BIGINT", [0, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1]),
        (Shelf, "level", "UTINYINT", [0, 255]),
        (Plant, "height_m", "DOUBLE", [0.5, "nan", "inf", "-inf", 1e308]),
        (Plant, "height_m", "FLOAT", [0.5, "inf"]),
        (Bed, "area_m2", "DECIMAL(38, 6)", ["1.5", "1.00001", "99999999.9999", "100000000"]),
        (Bed, "area_m2", "BIGINT", [5, 99999999, 100000000, -100000000]),
        (Plant, "planted_on", "DATE", ["2026-01-01", "infinity", "0044-03-15 (BC)", "10000-01-01"]),
        (Plant, "watered_at", "TIMESTAMPTZ", ["2026-01-01 00:00:00+01", "infinity"]),
        (Plant, "watering_time", "TIME", ["12:34:56.7", "24:00:00"]),
        (Plant, "is_edible", "BOOLEAN", ["true", "false"]),
        (Plant, "serial", "UUID", ["12345678-1234-5678-1234-5678ABCDEF01"]),
        (Plant, "leaf_scan", "BLOB", ["a\\x00\\xFF"]),
        (Plant, "notes", "DOUBLE[]", ["[1.5, 2]", "[nan]"]),
        (Plant, "notes", "STRUCT(b INTEGER, a VARCHAR)", ["{'b': 1, 'a': x}"]),
        (Plant, "notes", "VARCHAR", ["é", "[1]"]),
    ],
)  # fmt: skip
def test_typed_values_are_taken_exactly_or_not_at_all(model, column, kind, values, home, tmp_path):
    path = tmp_path / f"{model.__name__}.sql"
    good = {name: value for name, value in good_row(model).items() if name != column}
    others = ", ".join(f"from_json('{json.dumps(v)}', '\"JSON\"') AS {n}" for n, v in good.items())
    path.write_text(
        f"-- feed: garden.pages\nSELECT fetch_id, {others or 'NULL AS name'}, "
        f"(json ->> '$')::{kind} AS {column} FROM payloads"
    )
    transform = read_transform("garden", path)
    payloads = [
        make_payload("garden.pages", json.dumps(value).encode(), sequence=number)
        for number, value in enumerate([*values, None])
    ]

    parse_payloads(transform, payloads)

    taken = {row["fetch_id"]: row[column] for row in read(transform, model)}
    accepts = columns_of(model)
    target = next(each for each in accepts.given if each.name == column)
    outcomes = {outcome["fetch_id"]: outcome for outcome in read(transform)}
    for payload in payloads:
        outcome = outcomes[str(payload.fetch_id)]
        is_null = payload.body == b"null"
        if str(payload.fetch_id) in taken:
            assert outcome["error"] is None
            assert (taken[outcome["fetch_id"]] is None) == is_null
            assert not is_null or target.nullable
        else:
            assert outcome["field"] == column
            assert outcome["error"] == "RowInvalid"
    refused = {(p.body or b"").decode() for p in payloads if str(p.fetch_id) not in taken}
    assert refused == set(map(json.dumps, expected_refusals(column, kind, values, target)))


@pytest.mark.parametrize(
    ("column", "typed"),
    [
        ("is_edible", "true"),
        ("is_edible", "false"),
        ("leaf_scan", "'a\\x00\\xFF'::BLOB"),
        ("height_m", "0.1::FLOAT"),
        ("height_m", "1.25::DECIMAL(4, 2)"),
        ("height_m", "7"),
        ("notes", "{'b': [1, 2], 'a': NULL}"),
        ("notes", "[DATE '2026-01-01']"),
        ("notes", "true"),
        ("notes", "1.50::DECIMAL(4, 2)"),
        ("notes", "'[1]'"),
        ("serial", "'12345678-1234-5678-1234-567812345678'::UUID"),
        ("planted_on", "DATE '2026-01-01'"),
        ("watering_time", "TIME '12:34:56.7'"),
    ],
)
def test_a_typed_value_is_the_same_beside_one_that_takes_a_second_look(
    column, typed, home, tmp_path
):
    path = tmp_path / "plant.sql"
    path.write_text(
        f"-- feed: garden.pages\nSELECT fetch_id, 1 AS number, 'a' AS name, {typed} AS {column}, "
        "json -> 'at' AS watered_at FROM payloads"
    )
    transform = read_transform("garden", path)
    plain, unusual = b'{"at": "2026-01-01T00:00:00Z"}', b'{"at": "20260101T000000Z"}'

    parse_payloads(
        transform,
        [make_payload("garden.pages", body, sequence=n) for n, body in enumerate([plain, unusual])],
    )

    assert [outcome["error"] for outcome in read(transform)] == [None, None]
    first, second = read(transform, Plant)
    assert first[column] is not None
    assert {**second, "fetch_id": first["fetch_id"]} == first


def expected_refusals(column, kind, values, target):
    """Which of the values no column of the model's kind can hold."""
    refused: dict[str, list[object]] = {
        "number": [2**63, -(2**63) - 1],
        "seed_count": [-1],
        "level": [2**31, -(2**31) - 1],
        "height_m": ["nan", "inf", "-inf"],
        "area_m2": ["1.00001", "100000000", 100000000, -100000000],
        "planted_on": ["infinity", "0044-03-15 (BC)", "10000-01-01"],
        "watered_at": ["infinity"],
        "watering_time": ["24:00:00"],
        "notes": ["[nan]"],
    }
    wrong = [value for value in values if value in refused.get(column, [])]
    return wrong + ([] if target.nullable else [None])
