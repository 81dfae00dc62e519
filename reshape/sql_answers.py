"""From what DuckDB answered to records: the second look at values, the order, the lineage."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from raw_store.payload import Payload
from raw_store.rows import SCHEMA, to_payloads

from .columns import columns_of, shown
from .errors import RowInvalid
from .json_text import json_text
from .records import Reason, record_schema
from .sql_columns import Conversion
from .sql_statement import LINEAGE
from .sql_transform import Select

if TYPE_CHECKING:
    from .registry import Transform


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a batch of payloads says."""

    records: pa.Table
    """With the columns of the model's record files."""
    payloads: pa.Table
    """The payloads that were readable, as rows of the archive."""
    counts: pa.Array
    """How many records each of them gave."""
    quarantined: list[tuple[Payload, Reason]]

    @classmethod
    def nothing(cls, select: Select, quarantined: list[tuple[Payload, Reason]]) -> Self:
        """Of payloads none of which could be read."""
        return cls(
            records=record_schema(select.model).empty_table(),
            payloads=SCHEMA.empty_table(),
            counts=pa.array([], pa.int32()),
            quarantined=quarantined,
        )


def read_answer(transform: "Transform", select: Select, batch: pa.Table, answer: pa.Table) -> Read:
    """Make records of an answer; a payload with a row that its model refuses gives none.

    `answer` has `fetch_id`, the values, `_frozen` (the row's values as text where some need a
    second look) and `_index`, the row's payload in the batch.
    """
    found = _Problems(transform, select)
    answer = _second_look(select, answer, found)
    for each in select.conversions:
        if each.is_json:
            answer = _canonical(select, answer, each, found)
    problems = found.reasons()
    if problems:
        refused = pa.array(sorted(problems), pa.int32())
        answer = answer.filter(pc.invert(pc.is_in(answer["_index"], refused)))
    answer = _by_payload(answer)
    counts = _counts(answer["_index"], batch.num_rows)
    kept = [row for row in range(batch.num_rows) if row not in problems]
    readable = pa.array(kept, pa.int32())
    return Read(
        records=_records(select, batch, answer, counts),
        payloads=batch.take(readable) if problems else batch,
        counts=counts.take(readable) if problems else counts,
        quarantined=[
            (_payload(select, batch, row), reason) for row, reason in sorted(problems.items())
        ],
    )


class _Problems:
    """Why payloads are refused: each by its first bad row, and that by its first bad column, as it
    would be in Python."""

    def __init__(self, transform: "Transform", select: Select) -> None:
        self._feed = transform.feed
        self._places = {c.name: at for at, c in enumerate(columns_of(select.model).given)}
        self._first: dict[int, tuple[int, int, RowInvalid]] = {}

    def add(self, payload: int, row: int, error: RowInvalid) -> None:
        """A row of the answer, of this payload of the batch, is invalid."""
        found = (row, self._places[error.field], error)
        self._first[payload] = min(self._first.get(payload, found), found, key=lambda it: it[:2])

    def reasons(self) -> dict[int, Reason]:
        """The reason of each payload that is refused."""
        return {
            payload: Reason(
                "RowInvalid", f"Feed {self._feed}: {error}", error.model, error.field, error.value
            )
            for payload, (_, _, error) in self._first.items()
        }


def _second_look(select: Select, answer: pa.Table, problems: _Problems) -> pa.Table:
    """Ask the model's columns about the rows of which DuckDB was not certain."""
    frozen = answer["_frozen"]
    if frozen.null_count == len(frozen):
        return answer
    columns = columns_of(select.model)
    is_frozen = frozen.is_valid()
    unsure = answer.filter(is_frozen)
    accepted: list[list[Any]] = []
    rows = pc.indices_nonzero(is_frozen).to_pylist()
    payloads, frozen_rows = unsure["_index"].to_pylist(), unsure["_frozen"].to_pylist()
    for row, payload, texts in zip(rows, payloads, frozen_rows, strict=True):
        try:
            accepted.append(columns.convert(_thawed(select, texts)))
        except RowInvalid as error:
            problems.add(payload, row, error)
            accepted.append([None] * len(columns.given))
    given = [column.name for column in columns.given]
    for each in select.conversions:
        place = given.index(each.column.name)
        values = pa.array([row[place] for row in accepted], each.column.arrow)
        at = answer.column_names.index(each.column.name)
        cast = answer.column(at).cast(each.column.arrow).combine_chunks()
        mended = pc.replace_with_mask(cast, is_frozen.combine_chunks(), values)
        answer = answer.set_column(at, each.column.name, mended)
    return answer


def _thawed(select: Select, texts: list[str | None]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each, text in zip(select.conversions, texts, strict=True):
        try:
            values[each.column.name] = None if text is None else each.thaw(text)
        except ValueError as error:
            raise _not_a_value(select, each, text, str(error)) from None
    return values


def _canonical(select: Select, answer: pa.Table, each: Conversion, problems: _Problems) -> pa.Table:
    """Make a column's JSON canonical, so that equal values are equal text."""
    name = each.column.name
    made: list[str | None] = []
    for row, text in enumerate(answer[name].to_pylist()):
        value: Any = text
        try:
            if text is not None:
                value = orjson.loads(text)
            made.append(None if text is None else json_text(value))
        except ValueError as error:
            is_json = not isinstance(error, orjson.JSONDecodeError)
            why = str(error) if is_json else f"it is not JSON: {error}"
            invalid = _not_a_value(select, each, value, why)
            problems.add(answer["_index"][row].as_py(), row, invalid)
            made.append(None)
    at = answer.column_names.index(name)
    return answer.set_column(at, name, pa.array(made, pa.string()))


def _not_a_value(select: Select, each: Conversion, value: Any, why: str) -> RowInvalid:
    model, name = select.model.__name__, each.column.name
    said = shown(value)
    return RowInvalid(f"{model}.{name}={said}: {why}.", model=model, field=name, value=said)


def _by_payload(answer: pa.Table) -> pa.Table:
    """The rows of each payload together, in the payloads' order; within one as they came."""
    index = answer["_index"].combine_chunks()
    if len(index) < 2 or pc.all(pc.less_equal(index[:-1], index[1:])).as_py():
        return answer
    places = pc.cumulative_sum(pa.repeat(pa.scalar(1), len(index)))
    keyed = pa.table({"index": index, "place": places})
    return answer.take(
        pc.sort_indices(keyed, sort_keys=[("index", "ascending"), ("place", "ascending")])
    )


def _counts(index: pa.ChunkedArray, payload_count: int) -> pa.Array:
    counts = [0] * payload_count
    for found in pc.value_counts(index.combine_chunks()).to_pylist():
        counts[found["values"]] = found["counts"]
    return pa.array(counts, pa.int32())


def _records(select: Select, batch: pa.Table, answer: pa.Table, counts: pa.Array) -> pa.Table:
    schema = record_schema(select.model)
    index = answer["_index"].combine_chunks()
    columns = []
    for column in columns_of(select.model).given:
        if column.name in answer.column_names:
            columns.append(answer[column.name].cast(column.arrow))
        else:
            default = pa.scalar(column.default, column.arrow)
            # Of a list, Arrow repeats none no times.
            columns.append(
                pa.repeat(default, len(index)) if len(index) else pa.array([], column.arrow)
            )
    if columns_of(select.model).merges_fields:
        given = columns_of(select.model).given
        mask = "".join("1" if column.name in answer.column_names else "0" for column in given)
        columns.append(pa.repeat(pa.scalar(mask), len(index)))
    columns.append(answer[LINEAGE].cast(pa.string()))
    for name in ("request_key", "run_id", "fetched_at"):
        columns.append(batch[name].combine_chunks().take(index))
    places = pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int32()), len(index)))
    starts = pc.subtract(pc.cumulative_sum(counts), counts).take(index)
    columns.append(pc.subtract(pc.subtract(places, 1), starts))
    return pa.Table.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _payload(select: Select, batch: pa.Table, row: int) -> Payload:
    return to_payloads(batch.select(select.archived).slice(row, 1))[0]
