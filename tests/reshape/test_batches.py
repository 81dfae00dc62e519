"""Batches: rows converted many at once are those that are converted one by one."""

from dataclasses import replace
from datetime import UTC, date, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import models
from hypothesis import given, settings
from hypothesis import strategies as st

from raw_store.archive import Archive
from reshape import parse, registry
from reshape.arrays import Refused, as_array
from reshape.batches import Batch, Converted
from reshape.columns import columns_of
from reshape.models import Row
from reshape.parse import label_of
from reshape.records import OUTCOMES, RecordWriter, records_dir
from tests.making import make_payload
from tests.reshape.test_columns import column
from tests.sample.models import Author, Book

FIELDS = {
    "text": models.TextField(null=True),
    "short text": models.CharField(max_length=3, null=True),
    "small": models.SmallIntegerField(),
    "whole": models.IntegerField(null=True),
    "positive": models.PositiveIntegerField(null=True),
    "big": models.BigIntegerField(null=True),
    "positive big": models.PositiveBigIntegerField(null=True),
    "float": models.FloatField(null=True),
    "decimal": models.DecimalField(max_digits=6, decimal_places=2, null=True),
    "whole decimal": models.DecimalField(max_digits=5, decimal_places=0, null=True),
    "fraction": models.DecimalField(max_digits=3, decimal_places=3, null=True),
    "boolean": models.BooleanField(null=True),
    "moment": models.DateTimeField(null=True),
    "day": models.DateField(),
    "hour": models.TimeField(null=True),
    "uuid": models.UUIDField(null=True),
    "binary": models.BinaryField(null=True),
}
COLUMNS = {name: column(field) for name, field in FIELDS.items()}

ZONES = [None, UTC, timezone(timedelta(hours=-7, minutes=-30)), ZoneInfo("Europe/Berlin")]
moments = st.datetimes(timezones=st.sampled_from(ZONES))
written_moments = st.builds(
    lambda moment, separator, seconds, zone: moment.isoformat(separator, seconds) + zone,
    st.datetimes(),
    st.sampled_from(["T", " "]),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
    st.sampled_from(["Z", "+02:00", "-0730", "+23:59", "", "+24:00", ".5Z", ".1234567Z"]),
)
ODD = st.sampled_from(
    [
        *("", "a\x00b", "\ud800", "1.5", "-0", "1e3", " 1", "1_0", "NaN", "٣", "abcd", "éßü"),
        *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"),
        *("2026-02-30", "0000-01-01", "20260131", "2026-W05-1", "2026-01-31\n", "٢٠٢٦-01-31"),
        # As long as a time of the usual form.
        *("20260131T000000.123Z", "2026-W05-6T00:00:00Z", "2026-01-31T000000.5Z", "x" * 19 + "Z"),
        *("2026-01-31t00:00:00Z", "2026-01-31\x0000:00:00Z", "2026-13-31T00:00:00Z"),
        *("2026-01-31T24:00:00Z", "2026-01-31T23:59:60Z", "2026-01-31T00:00:00Z\n"),
        "12345678123456781234567812345678",
        "{12345678-1234-5678-1234-567812345678}",
        *(True, 0, -1, 2**15, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, -(2**63)),
        *(
            float("nan"),
            float("inf"),
            -0.0,
            1e300,
            Decimal("1E+2"),
            Decimal("-0.00"),
            Decimal("NaN"),
        ),
        *(b"\x00", bytearray(b"x"), None, object),
        type("Text", (str,), {})("sub"),
        type("Whole", (int,), {})(5),
    ]
)
PLAIN = [
    st.text(max_size=4),
    st.integers(-(2**66), 2**66),
    st.integers(-40_000, 40_000),
    st.floats(),
    st.decimals(),
    st.decimals(min_value=-999, max_value=999, places=2),
    st.builds(str, st.decimals(min_value=-9999, max_value=9999, places=2)),
    st.booleans(),
    moments,
    written_moments,
    st.builds(lambda moment: moment.isoformat("T", "seconds") + "Z", st.datetimes()),
    st.dates(),
    st.builds(date.isoformat, st.dates()),
    st.times(),
    st.builds(time.isoformat, st.times()),
    st.uuids(),
    st.builds(str, st.uuids()),
    st.binary(max_size=3),
]
# Most columns hold one kind of value; some hold a null or something odd as well.
COLUMNS_OF_VALUES = st.one_of(
    *(st.lists(plain, min_size=1, max_size=6) for plain in PLAIN),
    *(st.lists(st.one_of(plain, st.none()), min_size=1, max_size=6) for plain in PLAIN),
    *(st.lists(st.one_of(plain, ODD), min_size=1, max_size=4) for plain in PLAIN),
)


def one_by_one(column, values):
    """The array that the values make one by one; None where one of them is refused."""
    if None in values and not column.nullable:
        return None
    try:
        return pa.array([v if v is None else column.convert(v) for v in values], column.arrow)
    except (ValueError, TypeError, OverflowError):
        return None


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=50, deadline=None)
@given(values=COLUMNS_OF_VALUES)
def test_column_of_values_is_what_its_values_are_one_by_one(name, values):
    column = COLUMNS[name]
    wanted = one_by_one(column, values)

    if wanted is None:
        with pytest.raises(Refused):
            as_array(column, values)
    else:
        assert as_array(column, values).equals(wanted)


def test_every_plain_kind_is_converted_at_once(monkeypatch):
    def never(value):
        raise AssertionError(value)

    plain: dict[str, list[object]] = {
        "short text": ["Bé", None],
        "whole": [1, None],
        "float": [0.5, 1, None],
        "decimal": ["12.50", None],
        "boolean": [True, None],
        "moment": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.250+02:00"],
        "day": ["2026-01-01"],
        "uuid": ["12345678-1234-5678-1234-567812345678"],
        "binary": [b"x"],
    }
    for name, values in plain.items():
        as_array(replace(COLUMNS[name], convert=never), values)


bodies = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "authors": st.lists(
                st.fixed_dictionaries(
                    {
                        "code": st.sampled_from("abc"),
                        "name": st.sampled_from(["A", "", 5, "n\x00"]),
                    },
                    optional={"mentor_id": st.sampled_from(["a", None])},
                ),
                max_size=3,
            ),
            "books": st.lists(
                st.fixed_dictionaries(
                    {"code": st.sampled_from("xy"), "author_id": st.just("a")},
                    optional={
                        "title": st.sampled_from(["T", None]),
                        "price": st.sampled_from(["1.50", 2, None, 0.1]),
                        "tags": st.sampled_from([[], {"b": 1, "a": None}, "x", None]),
                        "added_at": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01"]),
                        "colour": st.just("red"),
                    },
                ),
                max_size=3,
            ),
        },
    ),
    max_size=8,
)


def pages():
    return registry._transforms["sample.transform_pages"]


def files(label):
    """Everything in the record files of a transform, in the order of the payloads."""
    found = {}
    for folder in (OUTCOMES, "sample_author", "sample_book", "sample_loan"):
        path = records_dir(folder, label) / "segment.parquet"
        rows = pq.read_table(path).to_pylist() if path.exists() else []
        order = ("fetched_at",) if folder == OUTCOMES else ("_fetched_at", "_ordinal")
        found[folder] = sorted(rows, key=lambda row: [row[name] for name in order])
    return found


@pytest.mark.django_db
@settings(max_examples=30, deadline=None)
@given(bodies=bodies)
def test_record_files_are_those_of_rows_converted_one_by_one(tmp_path_factory, bodies):
    root = tmp_path_factory.mktemp("records")
    payloads = [make_payload("sample.pages", body, minute=at) for at, body in enumerate(bodies)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.RECORDS_DIR", root)
        with RecordWriter("alone@1", "segment") as writer:
            for payload in payloads:
                parse._transform_alone(pages(), payload, writer)
        with RecordWriter("together@1", "segment") as together:
            for payload in payloads:
                parse._transform_one(pages(), payload, together)
            parse._write_gathered(pages(), together)

        assert files("together@1") == files("alone@1")
        assert together.record_count == writer.record_count
        assert together.quarantined_count == writer.quarantined_count


def test_one_refused_payload_leaves_the_others_together():
    batch = Batch()
    payloads = [
        make_payload("sample.pages", {"authors": [{"code": "a", "name": name}]}, minute=minute)
        for minute, name in enumerate(["A", "B", 5, "D", "E", "F", "G", "H"])
    ]
    for payload in payloads:
        assert batch.gather(payload, "sample", partial(pages().function, payload))

    found = list(batch.take())

    together = [each for each in found if isinstance(each, Converted)]
    assert [each for each in found if not isinstance(each, Converted)] == [payloads[2]]
    assert sum(len(each.gathered) for each in together) == 7
    assert len(together) <= 3
    assert list(batch.take()) == []


def test_writer_that_would_lose_gathered_rows_refuses(home):
    def leave_early():
        with RecordWriter("t@1", "segment") as writer:
            writer.gather(
                make_payload("sample.pages", {}), "sample", lambda: [Author.row(code="a", name="n")]
            )

    with pytest.raises(RuntimeError, match=r"1 payloads of segment segment"):
        leave_early()

    assert not [path for path in (home / "records").rglob("*") if path.is_file()]


def test_value_that_the_transform_changes_after_giving_it_is_taken_as_it_was():
    def rows():
        tags = ["first"]
        yield Book.row(code="x", title="X", author_id="a", tags=tags)
        tags.append("second")
        yield Book.row(code="y", title="Y", author_id="a", tags=tags)

    batch = Batch()
    batch.gather(make_payload("sample.pages", {}), "sample", rows)

    (converted,) = batch.take()
    assert isinstance(converted, Converted)

    names = [column.name for column in columns_of(Book).given]
    assert converted.columns[Book][names.index("tags")].to_pylist() == [
        '["first"]',
        '["first","second"]',
    ]


@pytest.mark.parametrize("has_row_of_its_own", [True, False])
def test_a_row_changed_and_given_again_is_not_taken_for_two_of_the_last_kind(
    monkeypatch, has_row_of_its_own
):
    monkeypatch.setattr("reshape.batches._has_json", lambda source: False)

    def rows():
        row = Author.row(code="a", name="n")
        yield row
        yield Author.row(code="b", name="n")
        row.values["code"] = "c"
        yield Row(Author, row.values) if has_row_of_its_own else row

    assert not Batch().gather(make_payload("sample.pages", {}), "sample", rows)


@pytest.mark.parametrize(
    "row",
    [
        ("not", "a row"),
        Author.row(code="a"),
        Author.row(code="a", name="n", colour="red"),
        Row(Author, {"code": "a", "nom": "n", "mentor_id": None}),
    ],
)
def test_payload_with_a_row_that_is_not_plain_is_not_gathered(row):
    batch = Batch()

    taken = batch.gather(
        make_payload("sample.pages", {}), "sample", lambda: [Author.row(code="a", name="n"), row]
    )

    assert not taken
    assert list(batch.take()) == []


def test_rows_of_another_source_are_not_gathered():
    batch = Batch()

    assert not batch.gather(
        make_payload("sample.pages", {}), "quakes", lambda: [Author.row(code="a", name="n")]
    )


@pytest.mark.django_db(transaction=True)
def test_batches_of_any_size_give_the_same_files(home, monkeypatch):
    archive = Archive()
    bodies = [{"authors": [{"code": f"{n}{m}", "name": "n"} for m in range(n)]} for n in range(6)]
    archive.append_all(
        "sample.pages",
        [make_payload("sample.pages", body, minute=at) for at, body in enumerate(bodies)],
    )
    monkeypatch.setattr("reshape.batches.ROWS_PER_BATCH", 4)

    parsed = parse.parse_segments([pages()], archive)

    (path,) = records_dir("sample_author", label_of(pages())).glob("*.parquet")
    assert pq.read_metadata(path).num_row_groups > 1
    assert [row["code"] for row in pq.read_table(path).to_pylist()] == [
        author["code"] for body in bodies for author in body["authors"]
    ]
    assert parsed.record_count == 15
