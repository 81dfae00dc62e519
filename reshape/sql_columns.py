"""How a SELECT's columns become a model's: what DuckDB can convert for certain, in sets.

The last word on a value is `Column.convert`, the same as for a transform in Python. For
each column there is SQL that says which values it surely takes, and as what. Rows with any
other value are handed over as text, thawed to Python values, and asked about one by one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from django.db import models

from .columns import Column
from .lists import through_of
from .sql import duck_type

Thaw = Callable[[str], Any]
"""From the text of a value to what a transform in Python would have given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One column of a SELECT on its way into a model's column."""

    column: Column
    value: str
    """SQL: the value as the model holds it, right where it is `accepted`."""
    accepted: str
    """SQL: whether the value is one that the column surely takes."""
    frozen: str
    """SQL: the value as text."""
    thaw: Thaw

    @property
    def is_json(self) -> bool:
        """Whether its values are still to be made canonical, in Python, a column at a time."""
        return isinstance(self.column.field, models.JSONField)


class TypeRefused(Exception):
    """A column of a type that the model's column never takes."""


_INTEGERS = frozenset(
    [
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
    ]
)
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_NAIVE = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"})
_TIMESTAMPTZ = "TIMESTAMP WITH TIME ZONE"

_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
_DATE = r"\d{4}-\d\d-\d\d"
_MOMENT = rf"{_DATE}[T ]{_CLOCK}(Z|[+-](0\d|1[0-4]):[0-5]\d)"
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def conversion(column: Column, kind: str, name: str) -> Conversion:
    """How values of the DuckDB type `kind`, in the column `name`, go into a model's column.

    `name` is SQL. Raises `TypeRefused` where no value but null could be taken.
    """
    value, accepted = _value(column, kind, name)
    is_null = f"{name} IS NULL"
    if kind == "JSON":
        is_null += f" OR {_raw(name)} = 'null'"
    accepted = f"coalesce({accepted}, false)"
    frozen, thaw = _frozen(_target(column.field), kind, name)
    return Conversion(
        column=column,
        value=value,
        accepted=f"({is_null} OR {accepted})" if column.nullable else accepted,
        frozen=frozen,
        thaw=thaw,
    )


def _frozen(field: "models.Field[Any, Any]", kind: str, name: str) -> tuple[str, Thaw]:
    """SQL for the value as text, and how to read that: what is certain comes back as it was, for
    another value of its row may be asked about."""
    text = f"{name}::VARCHAR"
    if kind == "JSON":
        return text, orjson.loads
    if isinstance(field, models.JSONField):
        return f"to_json({name})::VARCHAR", orjson.loads
    if isinstance(field, models.FloatField):
        return f"{name}::DOUBLE::VARCHAR", float
    if kind == "BLOB":
        return f"hex({name})", bytes.fromhex
    if kind == "BOOLEAN":
        return text, "true".__eq__
    if kind in _INTEGERS:
        return text, int
    if kind.startswith("DECIMAL"):
        return text, Decimal
    return text, str


def _value(column: Column, kind: str, name: str) -> tuple[str, str]:
    """SQL for the value and for whether it is certain."""
    if isinstance(column.field, models.ManyToManyField):
        through = through_of(column.field).__name__
        raise TypeRefused(
            f"it is a list of links, which no SELECT gives; let a file of its own, "
            f"transforms/{through}.sql, give the rows of {through}"
        )
    if kind == '"NULL"':
        return f"NULL::{duck_type(column.arrow)}", "false"
    field = _target(column.field)
    for kinds, rule in _RULES:
        if isinstance(field, kinds):
            return rule(column, kind, name)
    return _integer(column, kind, name)


def _raw(name: str) -> str:
    """A JSON value as its text."""
    return f"{name}::VARCHAR"


# A value's first character says what it is, and costs less than asking json_type. With white
# space before it, which is rare, none of these is certain.
def _is_text(name: str) -> str:
    return f"({_raw(name)} >= '\"' AND {_raw(name)} < '#')"


def _is_number(name: str) -> str:
    return f"({_raw(name)} >= '-' AND {_raw(name)} < ':')"


def _text(column: Column, kind: str, name: str) -> tuple[str, str]:
    if kind == "JSON":
        value, is_text = f"({name} ->> '$')", f"{_is_text(name)} AND "
    elif kind == "VARCHAR" or kind.startswith("ENUM"):
        value, is_text = f"{name}::VARCHAR", ""
    else:
        raise _refused(kind, "text", f"{name}::VARCHAR")
    longest = getattr(_target(column.field), "max_length", None)
    fits = f" AND length({value}) <= {longest}" if longest is not None else ""
    return value, f"{is_text}NOT contains({value}, chr(0)){fits}"


def _integer(column: Column, kind: str, name: str) -> tuple[str, str]:
    high = (1 << column.arrow.bit_width - 1) - 1
    low = -high - 1
    try:
        column.convert(-1)
    except ValueError:
        low = 0
    if kind == "JSON":
        text, name = _raw(name), f"TRY_CAST({_raw(name)} AS BIGINT)"
        # A cast rounds; what is still the same text was not rounded.
        is_whole = f"{name}::VARCHAR = {text} AND "
    elif kind in _INTEGERS:
        is_whole = ""
    else:
        raise _refused(kind, "a whole number", f"{name}::BIGINT")
    return (
        f"TRY_CAST({name} AS {duck_type(column.arrow)})",
        f"{is_whole}{name} BETWEEN {low}::HUGEINT AND {high}::HUGEINT",
    )


def _decimal(column: Column, kind: str, name: str) -> tuple[str, str]:
    wanted = duck_type(column.arrow)
    digits, places = column.arrow.precision, column.arrow.scale
    text = f"({name} ->> '$')" if kind == "JSON" else name
    whole, point = f"{{1,{digits - places}}}", rf"(\.\d{{1,{places}}})?" if places else ""
    plain = rf"regexp_full_match({text}, '-?\d{whole}{point}')" if digits > places else "false"
    if kind == "JSON":
        is_exact = f"({_is_text(name)} OR json_type({name}) IN ('UBIGINT', 'BIGINT'))"
        return f"TRY_CAST({text} AS {wanted})", f"{is_exact} AND {plain}"
    if kind == "VARCHAR":
        return f"TRY_CAST({name} AS {wanted})", plain
    if kind in _INTEGERS or kind.startswith("DECIMAL"):
        value = f"TRY_CAST({name} AS {wanted})"
        # A cast rounds; what is still equal was not rounded.
        return value, f"{value} = {name}"
    raise _refused(kind, "a decimal", f"{name}::{wanted}")


def _float(column: Column, kind: str, name: str) -> tuple[str, str]:
    if kind == "JSON":
        value = f"TRY_CAST({name} AS DOUBLE)"
        return value, f"{_is_number(name)} AND isfinite({value})"
    if kind in _INTEGERS or kind in _FLOATS or kind.startswith("DECIMAL"):
        return f"{name}::DOUBLE", f"isfinite({name}::DOUBLE)"
    raise _refused(kind, "a number", f"{name}::DOUBLE")


def _boolean(column: Column, kind: str, name: str) -> tuple[str, str]:
    if kind == "JSON":
        return f"TRY_CAST({_raw(name)} AS BOOLEAN)", f"{_raw(name)} IN ('true', 'false')"
    if kind == "BOOLEAN":
        return name, f"{name} IS NOT NULL"
    raise _refused(kind, "true or false", f"{name}::BOOLEAN")


def _of_time(wanted: str, form: str, certain: str, kinds: frozenset[str], what: str) -> Any:
    def rule(column: Column, kind: str, name: str) -> tuple[str, str]:
        if kind in kinds:
            return f"{name}::{wanted}", certain.format(value=name)
        if kind in _NAIVE and wanted == _TIMESTAMPTZ:
            raise TypeRefused(
                "it is a time without a zone; say which, for example "
                f"{name} AT TIME ZONE 'UTC' AS {column.name}"
            )
        if kind not in {"JSON", "VARCHAR"}:
            raise _refused(kind, what, f"{name}::{wanted}")
        text = f"({name} ->> '$')" if kind == "JSON" else name
        value = f"TRY_CAST({text} AS {wanted})"
        matches = f"regexp_full_match({text}, '{form}')"
        return value, f"{matches} AND {certain.format(value=value)}"

    return rule


def _uuid(column: Column, kind: str, name: str) -> tuple[str, str]:
    if kind == "UUID":
        return f"{name}::VARCHAR", f"{name} IS NOT NULL"
    if kind not in {"JSON", "VARCHAR"}:
        raise _refused(kind, "a UUID", f"{name}::UUID")
    text = f"({name} ->> '$')" if kind == "JSON" else name
    return f"lower({text})", f"regexp_full_match({text}, '{_UUID}')"


def _json(column: Column, kind: str, name: str) -> tuple[str, str]:
    if kind == "JSON":
        is_given = f"{_raw(name)} <> 'null'"
        return f"CASE WHEN {is_given} THEN {name}::VARCHAR END", is_given
    return f"to_json({name})::VARCHAR", f"{name} IS NOT NULL"


def _binary(column: Column, kind: str, name: str) -> tuple[str, str]:
    if kind != "BLOB":
        raise _refused(kind, "bytes", f"encode({name})")
    return name, f"{name} IS NOT NULL"


def _target(field: "models.Field[Any, Any]") -> "models.Field[Any, Any]":
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    return field


def _refused(kind: str, expected: str, cast: str) -> TypeRefused:
    return TypeRefused(f"it is {kind}, not {expected}; cast it: {cast}")


_Rule = Callable[[Column, str, str], tuple[str, str]]
_RULES: tuple[tuple[type | tuple[type, ...], _Rule], ...] = (
    (models.DecimalField, _decimal),
    (models.FloatField, _float),
    (models.BooleanField, _boolean),
    (
        models.DateTimeField,
        _of_time(
            _TIMESTAMPTZ,
            _MOMENT,
            "{value} BETWEEN TIMESTAMPTZ '0002-01-01 00:00:00Z' "
            "AND TIMESTAMPTZ '9998-12-31 00:00:00Z'",
            frozenset({_TIMESTAMPTZ}),
            "a time",
        ),
    ),
    (
        models.DateField,
        _of_time(
            "DATE",
            _DATE,
            "{value} BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'",
            frozenset({"DATE"}),
            "a date",
        ),
    ),
    (
        models.TimeField,
        _of_time("TIME", _CLOCK, "{value} < TIME '24:00:00'", frozenset({"TIME"}), "a time of day"),
    ),
    (models.UUIDField, _uuid),
    (models.JSONField, _json),
    (models.BinaryField, _binary),
    ((models.CharField, models.TextField), _text),
)
