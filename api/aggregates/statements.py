"""The SQL of an aggregate: groups with their measures, in order, from a cursor on."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from warehouse.statement import quoted

from ..catalog import Entity
from ..connections.cursors import pack, unpack
from .conditions import ColumnSql, Conditions
from .questions import Grouping, Measure, Question, column_kind, is_moment, kind_of
from .rollups import Shape

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where groups are made from, and how each thing that is asked for is written there."""

    table: str
    label: str
    write: Callable[[Grouping | Measure], str]

    def casts(self, entity: Entity, names: Sequence[str]) -> str:
        """Columns of rows as they came from the serving database, in their types."""
        kinds = {name: column_kind(entity, name) for name in names}
        return ", ".join(
            f"CAST({quoted(name)} AS {kind}) AS {quoted(_column(entity, name))}"
            for name, kind in kinds.items()
        )


def from_rows(question: Question, table: str, label: str) -> Source:
    """The source that a table of the rows themselves is."""
    entity, column = question.entity, column_of(question.entity)

    def write(what: Grouping | Measure) -> str:
        if isinstance(what, Grouping):
            kind = column_kind(entity, what.column.attname)
            return _period(column(what.column.attname), kind, what.unit)
        return _measure(entity, what, column(what.attname) if what.attname else "")

    return Source(table=table, label=label, write=write)


def from_rollup(question: Question, shape: Shape) -> Source:
    """The source that a rollup is. Raises `KeyError` where it does not have what is asked for."""
    entity = question.entity

    def write(what: Grouping | Measure) -> str:
        if isinstance(what, Grouping):
            found = shape.group(what)
            if found is None:
                raise KeyError(what)
            if shape.periods.get((what.column.attname, what.unit)) == found:
                return f"CAST(t.{quoted(found)} AS {kind_of(entity, what)})"
            return _period(f"CAST(t.{quoted(found)} AS TIMESTAMP)", "TIMESTAMP", what.unit)
        return _of_parts(entity, shape, what)

    for each in question.columns:
        write(each)
    return Source(table=quoted(shape.name), label=f"rollup {shape.name}", write=write)


def column_of(entity: Entity) -> ColumnSql:
    """An entity's columns in the table that is called t."""
    return lambda attname: f"t.{quoted(_column(entity, attname))}"


def statement(
    question: Question, source: Source, conditions: Conditions, joins: str, condition: str
) -> str:
    """The SQL of a page of groups; its parameters are the conditions'."""
    names = {each: f"c{number}" for number, each in enumerate(question.columns)}
    listed = ", ".join(f"{source.write(each)} AS {name}" for each, name in names.items())
    # By position: a column of the table would be meant before an alias.
    grouped = ", ".join(str(number + 1) for number in range(len(question.groupings)))
    made = f"SELECT {listed or 'count(*) AS c0'} FROM {source.table} AS t{joins} WHERE {condition}"
    if grouped:
        made += f" GROUP BY {grouped}"
    beyond = _beyond(question, names, conditions)
    order = ", ".join(
        f"{names[part.by]} {'DESC' if part.is_descending else 'ASC'} "
        f"NULLS {'FIRST' if part.has_nulls_first else 'LAST'}"
        for part in question.order
    )
    shown = ", ".join(_shown(question, each, name) for each, name in names.items())
    total = ", (SELECT count(*) FROM made) AS total" if question.counts_groups else ""
    return (
        f"WITH made AS MATERIALIZED ({made}) SELECT {shown or 'c0'}{total} FROM made WHERE {beyond}"
        f"{' ORDER BY ' + order if order else ''} LIMIT {question.size + 1}"
    )


def _shown(question: Question, what: Grouping | Measure, name: str) -> str:
    """A value as it is fetched: moments as microseconds, which need no library of time zones."""
    if not is_moment(question.entity, what):
        return name
    if isinstance(what, Measure) and what.function == "quantiles":
        return f"list_transform({name}, lambda each: epoch_us(each))"
    return f"epoch_us({name})"


def moment(microseconds: int | None) -> dt.datetime | None:
    """A moment as it was fetched."""
    return None if microseconds is None else _EPOCH + dt.timedelta(microseconds=microseconds)


def cursor(question: Question, row: Sequence[Any]) -> str:
    """The cursor of a group with these values of `question.columns`."""
    positions = {each: number for number, each in enumerate(question.columns)}
    return pack(_digested(question), [row[positions[part.by]] for part in question.order])


def _digested(question: Question) -> object:
    parts = [(_label(part.by), part.is_descending, part.has_nulls_first) for part in question.order]
    return ("groups", question.entity.names.type, parts)


def _label(what: Grouping | Measure) -> object:
    return what.name if isinstance(what, Grouping) else (what.function, what.attname)


def _beyond(
    question: Question, names: dict[Grouping | Measure, str], conditions: Conditions
) -> str:
    if question.after is None:
        return "true"
    values = unpack(question.after, _digested(question), "these groups")
    branches, equal = [], "true"
    for part, value in zip(question.order, values, strict=True):
        name = names[part.by]
        if value is None:
            if part.has_nulls_first:
                branches.append(f"({equal} AND {name} IS NOT NULL)")
            equal += f" AND {name} IS NULL"
            continue
        given = f"CAST({conditions.param(str(value))} AS {kind_of(question.entity, part.by)})"
        later = f"{name} {'<' if part.is_descending else '>'} {given}"
        if not part.has_nulls_first:
            later = f"({later} OR {name} IS NULL)"
        branches.append(f"({equal} AND {later})")
        equal += f" AND {name} = {given}"
    return f"({' OR '.join(branches) or 'false'})"


def _period(column: str, kind: str, unit: str | None) -> str:
    if unit is None:
        return column
    if kind.startswith("TIMESTAMP"):
        # In UTC no calendar is needed, which takes ten times as long.
        column = f"make_timestamp(epoch_us({column}))"
    found = f"date_trunc('{unit}', {column})"
    return found if unit == "hour" else f"CAST({found} AS DATE)"


def _measure(entity: Entity, what: Measure, column: str) -> str:
    if what.function == "count":
        return "count(*)"
    assert what.attname is not None
    kind = column_kind(entity, what.attname)
    if what.function in ("min", "max"):
        return f"{what.function}({column})"
    if what.function == "quantiles":
        points = ", ".join(f"{point!r}::DOUBLE" for point in what.points)
        if kind in ("DATE", "TIME") or kind.startswith("TIMESTAMP"):
            return f"quantile_disc({column}, [{points}])"
        return f"quantile_cont(CAST({column} AS DOUBLE), [{points}])"
    if what.function == "stddev":
        return _finite(f"stddev_samp(CAST({column} AS DOUBLE))")
    # The compensated sum: of doubles the plain one depends more on the order of addition.
    total = _finite(f"fsum({column})") if kind == "DOUBLE" else _sum(column)
    return total if what.function == "sum" else _mean(total, f"count({column})")


def _of_parts(entity: Entity, shape: Shape, what: Measure) -> str:
    """A measure made of a rollup's. Raises `KeyError` where it cannot be."""
    if what.function == "count":
        return f"coalesce({_sum(_part(shape, 'count', None))}, 0)::BIGINT"
    assert what.attname is not None
    if what.function in ("min", "max"):
        return f"{what.function}({_part(shape, what.function, what.attname)})"
    if what.function not in ("sum", "avg"):
        raise KeyError(what)
    kind = column_kind(entity, what.attname)
    part = _part(shape, "sum", what.attname)
    total = _finite(f"fsum({part})") if kind == "DOUBLE" else _sum(part)
    if what.function == "sum":
        return total
    key = ("count", what.attname)
    if key not in shape.measures and not entity.column(what.attname).is_nullable:
        key = ("count", None)  # type: ignore[assignment]
    return _mean(total, _sum(_part(shape, *key)))


def _part(shape: Shape, function: str, attname: str | None) -> str:
    return f"t.{quoted(shape.measures[function, attname])}"


def _sum(column: str) -> str:
    return f"sum({column})"


def _mean(total: str, count: str) -> str:
    return f"CAST({total} AS DOUBLE) / nullif({count}, 0)"


def _finite(value: str) -> str:
    """JSON has no word for what is not a finite number."""
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def _column(entity: Entity, attname: str) -> str:
    found: Any = entity.model._meta.get_field(attname)
    return str(found.column)
