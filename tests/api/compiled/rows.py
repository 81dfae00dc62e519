"""Rows for any model: every kind of value, the awkward ones above all, and nulls where allowed."""

import datetime as dt
import random
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import models

TEXTS = [
    "Ada",
    "ada",
    "Zoë",
    "ß",
    "100%",
    "a_b",
    "o'clock",
    'say "hi"',
    "back\\slash",
    "",
    "🌱 seed",
]
_INTEGERS = [0, 1, -1, 7, 2**31 - 1, -(2**31)]
_BIG = [0, -5, 2**53 - 1, 2**53, -(2**53), 2**63 - 1]
_JSON = [{}, [], {"a": [1, 2.5, None]}, "text", 0, True, {"big": 2**70}, {"né": "\u2028"}]


def fill(model, count=9, seed=1):
    """Store this many rows of a model, whose foreign keys lead to rows that are there."""
    pick = random.Random(f"{seed} {model._meta.label}")
    keys = [field.attname for field in model._meta.pk_fields]
    if rollup := getattr(model, "rollup", None):
        # Once a test has loaded it, its table tells its rows apart by these.
        keys = list(rollup.key) or keys
    rows: dict[tuple[Any, ...], Any] = {}
    for number in range(count):
        row = model(
            **{
                field.attname: _value(field, number, pick)
                for field in model._meta.concrete_fields
                if not isinstance(field, models.CompositePrimaryKey)
            }
        )
        rows.setdefault(tuple(getattr(row, key) for key in keys), row)
    model._base_manager.bulk_create(rows.values())


def _value(field, number, pick):
    if field.null and pick.random() < 0.25:
        return None
    if isinstance(field, models.ForeignKey):
        targets = field.related_model._base_manager.values_list(
            field.target_field.attname, flat=True
        )
        known = sorted(value for value in targets if value is not None)
        return pick.choice(known) if known else None
    is_key = field.primary_key or field.unique
    if isinstance(field, models.UUIDField):
        return UUID(int=number + 1) if is_key else UUID(int=pick.randrange(1, 5))
    if isinstance(field, models.BigIntegerField):
        return number - 2 if is_key else pick.choice([value for value in _BIG if value >= 0])
    if isinstance(field, models.IntegerField):
        return number if is_key else pick.choice(_INTEGERS)
    if isinstance(field, models.CharField | models.TextField):
        text = f"{'abcde'[number % 5]}{number}" if is_key else pick.choice(TEXTS)
        return text[: field.max_length] if field.max_length else text
    return pick.choice(_VALUES[type(field)])


_VALUES = {
    models.BooleanField: [True, False],
    models.FloatField: [0.0, -1.5, 1e300, 1 / 3, 2.0],
    models.DecimalField: [Decimal("0"), Decimal("-1.50"), Decimal("12.5"), Decimal("0.01")],
    models.DateField: [dt.date(2026, 1, day) for day in (1, 2, 3, 28)],
    models.DateTimeField: [
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 1, 12, 30, 1, 5, tzinfo=dt.UTC),
        dt.datetime(1969, 7, 20, 20, 17, tzinfo=dt.UTC),
    ],
    models.TimeField: [dt.time(6), dt.time(23, 59, 59, 999999)],
    models.JSONField: _JSON,
    models.BinaryField: [b"", b"\x00\xff", b"leaf"],
}
