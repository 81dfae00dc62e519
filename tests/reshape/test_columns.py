"""The columns of a model: what each kind of field takes, and what it refuses."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from django.db import models
from django.test.utils import isolate_apps

from reshape.columns import FieldUnsupported, columns_of, shown
from reshape.errors import RowInvalid
from reshape.models import Derived
from tests.sample.models import Author, Book, Loan

BERLIN = timezone(timedelta(hours=1))


def column(field):
    with isolate_apps("tests.sample"):
        meta = type("Meta", (), {"app_label": "sample"})
        body = {"__module__": __name__, "Meta": meta, "value": field}
        if not field.primary_key:
            body["code"] = models.TextField(primary_key=True)
        model = type("Thing", (Derived,), body)
        return next(c for c in columns_of(model).given if c.name == "value")


@pytest.mark.parametrize(
    ("field", "value", "held"),
    [
        (models.TextField(), "Bé", "Bé"),
        (models.IntegerField(), -(2**31), -(2**31)),
        (models.BigIntegerField(), 2**63 - 1, 2**63 - 1),
        (models.FloatField(), 1, 1.0),
        (models.DecimalField(max_digits=8, decimal_places=5), "0.80750", Decimal("0.8075")),
        (models.DecimalField(max_digits=8, decimal_places=5), 3, Decimal(3)),
        (models.DecimalField(max_digits=8, decimal_places=5), f"1.5{'0' * 60}", Decimal("1.5")),
        (models.DecimalField(max_digits=8, decimal_places=5), "0e-999", Decimal(0)),
        (models.DecimalField(max_digits=8, decimal_places=5), "0e999", Decimal(0)),
        (
            models.DecimalField(max_digits=34, decimal_places=2),
            f"{10**31}.50",
            Decimal(f"{10**31}.5"),
        ),
        (models.DecimalField(max_digits=8, decimal_places=5), "0E+999999999", Decimal(0)),
        (models.BooleanField(), True, True),
        (models.DateField(), "2026-01-31", date(2026, 1, 31)),
        (models.TimeField(), "10:30", time(10, 30)),
        (
            models.DateTimeField(),
            datetime(2026, 1, 1, 1, tzinfo=BERLIN),
            datetime(2026, 1, 1, tzinfo=UTC),
        ),
        (models.DateTimeField(), "2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        (models.UUIDField(), UUID(int=7), str(UUID(int=7))),
        (models.JSONField(), {"b": [1], "a": None}, '{"a":null,"b":[1]}'),
        (models.JSONField(), [-0.0, -0.5], "[0.0,-0.5]"),
        (models.JSONField(), [1e16, -1e16, 1e15], f"[1{'0' * 16},-1{'0' * 16},1{'0' * 15}.0]"),
        (models.JSONField(), "\\u0000", '"\\\\u0000"'),
        (models.BinaryField(), b"\x00", b"\x00"),
    ],
)
def test_value_is_taken(field, value, held):
    found = column(field).convert(value)

    assert found == held
    assert pa.array([found], column(field).arrow).null_count == 0


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (models.TextField(), 5, "not text"),
        (models.TextField(), "a\x00b", "NUL"),
        (models.TextField(), "\ud800", "surrogate"),
        (models.JSONField(), ["a\x00"], "NUL"),
        (models.JSONField(), {"\\\x00": 1}, "NUL"),
        (models.CharField(max_length=2), "abc", "holds 2"),
        (models.IntegerField(), 2**31, "not between"),
        (models.PositiveIntegerField(), -1, "not between 0"),
        (models.IntegerField(), "5", "not a whole number"),
        (models.IntegerField(), 5.0, "not a whole number"),
        (models.IntegerField(), True, "not a whole number"),
        (models.FloatField(), float("nan"), "finite"),
        (models.FloatField(), float("inf"), "finite"),
        (models.FloatField(), "1.5", "not a number"),
        (models.DecimalField(max_digits=4, decimal_places=2), 1.5, "not a decimal"),
        (models.DecimalField(max_digits=4, decimal_places=2), "1.234", "3 decimal places"),
        (models.DecimalField(max_digits=4, decimal_places=2), "123", "before the point"),
        (models.DecimalField(max_digits=34, decimal_places=2), f"{10**31}.125", "3 decimal places"),
        (models.DecimalField(max_digits=4, decimal_places=2), "1e999999999", "before the point"),
        (models.DecimalField(max_digits=4, decimal_places=2), "1e-999999999", "999999999 decimal"),
        (models.DecimalField(max_digits=38, decimal_places=2), f"{10**29}.123", "3 decimal places"),
        (models.DecimalField(max_digits=4, decimal_places=2), "NaN", "finite"),
        (models.DecimalField(max_digits=4, decimal_places=2), "much", "not a decimal number"),
        (models.BooleanField(), 1, "true or false"),
        (models.DateField(), datetime(2026, 1, 1, tzinfo=UTC), "not a date"),
        (models.DateField(), "31.1.2026", "ISO 8601"),
        (models.DateTimeField(), datetime(2026, 1, 1), "without a zone"),  # noqa: DTZ001
        (models.DateTimeField(), "2026-01-01T00:00:00", "without a zone"),
        (models.DateTimeField(), 1700000000, "not a time"),
        (models.UUIDField(), "not one", "badly formed"),
        (models.JSONField(), object(), "not JSON"),
        (models.BinaryField(), "text", "not bytes"),
    ],
)
def test_value_is_refused_with_what_was_expected(field, value, words):
    with pytest.raises(ValueError, match=words):
        column(field).convert(value)


def test_row_is_given_in_column_order_with_defaults():
    row = columns_of(Book).convert({"title": "T", "code": "x", "author_id": "a"})

    assert row == ["x", "T", "a", None, None, "[]"]


def test_key_of_a_composite_model_is_its_columns():
    assert columns_of(Loan).key == ("book_id", "day")


def test_long_value_is_cut_in_the_message():
    with pytest.raises(RowInvalid) as caught:
        columns_of(Author).convert({"code": "c" * 5000, "name": "n"})

    assert len(str(caught.value)) < 300


def test_field_that_no_column_holds_is_named():
    with pytest.raises(FieldUnsupported, match=r"Thing.value is a DurationField"):
        column(models.DurationField())


def test_a_value_is_shown_however_long_or_deep_it_is():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    assert shown("x") == "'x'"
    assert len(shown("x" * 1_000)) == 98
    assert shown(deep) == "a list that nests too deep to be shown"
