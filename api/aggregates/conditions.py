"""The filters of lists, as conditions that DuckDB understands.

They mean what `api.filters.where` makes of them: what is unknown is not so, and not known to
be otherwise; text minds the case as the serving database does.
"""

import string
from collections.abc import Callable
from decimal import Context, Decimal
from itertools import count
from typing import Any

from django.db import models
from strawberry import UNSET

from warehouse.statement import quoted

from ..catalog import Catalog, Column, Entity
from ..errors import RequestRefused
from ..filters import LOOKUPS, MAX_LIST_LENGTH
from .questions import column_kind

_LOWER = f"'{string.ascii_uppercase}', '{string.ascii_lowercase}'"
_COMPARED = {"exact": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_FOUND = {"contains": "contains", "starts_with": "starts_with", "ends_with": "suffix"}
ColumnSql = Callable[[str], str]
"""The SQL of a column of the rows asked for, by attname."""


class Conditions:
    """Conditions of one statement, with its parameters and the tables they lead to."""

    def __init__(self, catalog: Catalog, vendor: str) -> None:
        self.params: list[Any] = []
        self.tables: set[str] = set()
        self._catalog = catalog
        self._vendor = vendor
        self._aliases = count(1)

    def where(self, entity: Entity, given: Any, column: ColumnSql) -> tuple[str, str]:
        """The joins that a filter needs, and its condition. Raises `RequestRefused`."""
        scope = _Scope(self, column)
        condition = scope.all_of(entity, given, column, "")
        return "".join(scope.joins.values()), condition

    def param(self, value: Any) -> str:
        """A parameter of the statement."""
        self.params.append(value)
        return f"${len(self.params)}"

    def alias(self) -> str:
        return f"t{next(self._aliases)}"

    def target(self, relation: Any) -> Entity:
        found = self._catalog[relation.target]
        self.tables.add(found.model._meta.db_table)
        return found

    def folded(self, text: str) -> str:
        """Text without its case: SQLite knows that of ASCII letters only."""
        if self._vendor == "sqlite":
            return f"translate({text}, {_LOWER})"
        return f"upper({text})"

    def decimal(self, value: Decimal, field: Any) -> Decimal:
        """A decimal as the serving database is given it: SQLite's is cut to the column's places."""
        if self._vendor != "sqlite" or not isinstance(field, models.DecimalField):
            return value
        assert field.decimal_places is not None
        quantum = Decimal(1).scaleb(-field.decimal_places)
        return value.quantize(quantum, context=Context(prec=max(field.max_digits or 0, 1)))


class _Scope:
    """Conditions on the rows of one FROM."""

    def __init__(self, owner: Conditions, column: ColumnSql) -> None:
        self.joins: dict[str, str] = {}
        self._owner = owner
        self._columns: dict[str, ColumnSql] = {"": column}

    def all_of(self, entity: Entity, given: Any, column: ColumnSql, path: str) -> str:
        if not _is_given(given):
            return "true"
        parts: list[str] = []
        for each in entity.columns:
            if _is_given(lookups := getattr(given, each.attname)):
                parts += self._tests(entity, each, lookups, column)
        for relation in entity.relations:
            if not _is_given(nested := getattr(given, relation.attribute)):
                continue
            target = self._owner.target(relation)
            if relation.is_list:
                parts.append(self._exists(relation, target, nested, column))
            else:
                inner = self._joined(relation, target, column, f"{path}{relation.name}.")
                parts.append(self.all_of(target, nested, inner, f"{path}{relation.name}."))
        for name, joiner in (("AND", "AND"), ("OR", "OR"), ("NOT", "OR")):
            if not _is_given(several := getattr(given, name)):
                continue
            each_one = [self.all_of(entity, one, column, path) for one in several]
            neutral = "true" if joiner == "AND" else "false"
            found = "(" + (f" {joiner} ".join(each_one) or neutral) + ")"
            parts.append(f"NOT coalesce({found}, false)" if name == "NOT" else found)
        return "(" + (" AND ".join(parts) or "true") + ")"

    def _joined(self, relation: Any, target: Entity, column: ColumnSql, path: str) -> ColumnSql:
        if path not in self._columns:
            alias = self._owner.alias()
            table = quoted(target.model._meta.db_table)
            back = f"{alias}.{_stored(target, relation.back)}"
            self.joins[path] = f" LEFT JOIN {table} AS {alias} ON {back} = {column(relation.own)}"
            self._columns[path] = lambda attname: f"{alias}.{_stored(target, attname)}"
        return self._columns[path]

    def _exists(self, relation: Any, target: Entity, nested: Any, column: ColumnSql) -> str:
        alias = self._owner.alias()

        def inner(attname: str) -> str:
            return f"{alias}.{_stored(target, attname)}"

        scope = _Scope(self._owner, inner)
        condition = scope.all_of(target, nested, inner, "")
        return (
            f"EXISTS (SELECT 1 FROM {quoted(target.model._meta.db_table)} AS {alias}"
            f"{''.join(scope.joins.values())} "
            f"WHERE {inner(relation.back)} = {column(relation.own)} AND {condition})"
        )

    def _tests(self, entity: Entity, each: Column, given: Any, column: ColumnSql) -> list[str]:
        found = []
        for name in LOOKUPS:
            value = getattr(given, name, None)
            if _is_given(value):
                found.append(self._test(entity, each, name, value, column(each.attname)))
        return found

    def _test(self, entity: Entity, each: Column, name: str, value: Any, sql: str) -> str:
        if name == "is_null":
            return f"({sql} IS {'' if value else 'NOT '}NULL)"
        if name == "in_list":
            if len(value) > MAX_LIST_LENGTH:
                raise RequestRefused(
                    f"inList has {len(value)} values; it takes at most {MAX_LIST_LENGTH}. "
                    "Ask in several operations."
                )
            values = ", ".join(self._value(entity, each, one) for one in dict.fromkeys(value))
            return f"({sql} IN ({values}))" if values else "false"
        if name in _COMPARED:
            return f"({sql} {_COMPARED[name]} {self._value(entity, each, value)})"
        text = self._owner.param(value)
        if name.startswith("i_"):
            sql, text, name = self._owner.folded(sql), self._owner.folded(text), name[2:]
            if name == "exact":
                return f"({sql} = {text})"
        return f"{_FOUND[name]}({sql}, {text})"

    def _value(self, entity: Entity, each: Column, value: Any) -> str:
        if isinstance(value, Decimal):
            field = entity.model._meta.get_field(each.attname)
            value = self._owner.decimal(value, field)
            exponent = value.as_tuple().exponent
            is_short = isinstance(exponent, int) and value.adjusted() < 20 and exponent >= -18
            kind = "DECIMAL(38, 18)" if is_short else "DOUBLE"
            return f"CAST({self._owner.param(format(value, 'f'))} AS {kind})"
        if isinstance(value, int) and not isinstance(value, bool):
            # No column holds more than 64 bits: beyond them all numbers compare alike.
            value = max(-(1 << 64), min(1 << 64, value))
            return f"CAST({self._owner.param(str(value))} AS HUGEINT)"
        if isinstance(value, bool | str | float):
            return self._owner.param(value)
        return f"CAST({self._owner.param(str(value))} AS {column_kind(entity, each.attname)})"


def _stored(entity: Entity, attname: str) -> str:
    column: Any = entity.model._meta.get_field(attname).column  # type: ignore[union-attr]
    return quoted(column)


def _is_given(value: Any) -> bool:
    return value is not None and value is not UNSET
