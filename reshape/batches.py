"""Batches: the rows of many payloads, gathered and converted column by column.

What one payload says stays together: where a batch holds a value that its column does not
take, it is halved until the payload that gave it is alone. That one, and any whose rows are
not of the plain kind, is left to the conversion row by row, which says what is wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa
from django.db import models

from raw_store.payload import Payload

from .arrays import Refused, as_array
from .columns import columns_of
from .errors import Overlong
from .json_text import json_text
from .models import Derived, Row, derived_models
from .purity import guarded
from .worker import Stopped

OF_THE_PROCESS = (KeyboardInterrupt, Stopped, MemoryError)
"""What ends a transform and is no word about its payload."""

_identity = object.__hash__
"""Tells values apart that are there at the same time. `id` would: but each call of it is an audit
event (`reshape.purity` listens), which takes three times as long."""

ROWS_PER_BATCH = 16_384
_PAYLOADS_PER_BATCH = 4_096
_BYTES_PER_BATCH = 32 * 1024 * 1024

Cells = tuple[Any, ...]


class Gathered(NamedTuple):
    """The rows of one payload, as the transform gave them."""

    payload: Payload
    record_count: int
    rows: dict[type[models.Model], tuple[list[Cells], list[int]]]
    """Model → the cells of its rows in column order, and each one's position in the payload."""


class Converted(NamedTuple):
    """The rows of some payloads as Arrow."""

    gathered: Sequence[Gathered]
    columns: dict[type[models.Model], list[pa.Array]]
    """Model → the columns a transform gives, then those that say which payload gave the row."""


class Batch:
    """Gathers the rows of payloads until there are enough to convert."""

    def __init__(self) -> None:
        self._gathered: list[Gathered] = []
        self._row_count = 0
        self._byte_count = 0

    def __len__(self) -> int:
        """Payloads gathered."""
        return len(self._gathered)

    @property
    def is_full(self) -> bool:
        return (
            self._row_count >= ROWS_PER_BATCH
            or len(self._gathered) >= _PAYLOADS_PER_BATCH
            or self._byte_count >= _BYTES_PER_BATCH
        )

    def gather(self, payload: Payload, source: str, rows: Callable[[], Iterable[Row]]) -> bool:
        """Take the rows of a payload, or none of them where one needs a look of its own.

        Raises `Overlong`.
        """
        try:
            with guarded():
                found = _gather(source, rows())
        except (*OF_THE_PROCESS, Overlong):
            raise
        except BaseException:
            # Whatever it is comes up again, and is told, where rows are converted one by one.
            return False
        if found is None:
            return False
        count = sum(len(positions) for _, positions in found.values())
        self._gathered.append(Gathered(payload, count, found))
        self._row_count += count
        self._byte_count += len(payload.body or b"")
        return True

    def take(self) -> Iterator[Converted | Payload]:
        """Everything gathered, and the batch is empty: rows as Arrow, or a payload of which a
        value is refused."""
        gathered, self._gathered = self._gathered, []
        self._row_count = self._byte_count = 0
        yield from _convert(gathered)


def _gather(
    source: str, rows: Iterable[Row]
) -> dict[type[models.Model], tuple[list[Cells], list[int]]] | None:
    """The rows by model; None where one of them must be converted alone."""
    if _has_json(source):
        return _gather_in_turn(source, rows)
    # All of a payload's rows at once: of what is done for each of them nothing is Python's code.
    listed = list(rows)
    if not listed:
        return {}
    if set(map(type, listed)) != {Row}:
        return None
    kinds, values = zip(*listed, strict=True)
    if len(set(map(_identity, values))) != len(listed):
        return None  # what was yielded twice may have been changed in between
    found = {}
    for model in dict.fromkeys(kinds):
        positions, its = list(range(len(listed))), values
        if len(positions) != kinds.count(model):
            positions = [position for position in positions if kinds[position] is model]
            its = tuple(values[position] for position in positions)
        form = _form(model)
        if form is None or form.source != source:
            return None
        pick, width, json, defaults = form.parts
        if json:
            return None  # made after the source was looked through
        if defaults and set(map(len, its)) != {width}:
            its = tuple(defaults | each for each in its)
        if set(map(len, its)) != {width}:
            return None
        found[model] = list(map(pick, its)), positions
    return found


def _gather_in_turn(
    source: str, rows: Iterable[Row]
) -> dict[type[models.Model], tuple[list[Cells], list[int]]] | None:
    """The same, looking at each row before the transform goes on to the next."""
    found: dict[type[models.Model], tuple[list[Cells], list[int]]] = {}
    last = None
    for position, row in enumerate(rows):
        if row.__class__ is not Row:
            return None
        model, values = row
        if model is not last:
            form = _form(model)
            if form is None or form.source != source:
                return None
            cells, positions = found.setdefault(model, ([], []))
            last, pick, width, json, defaults = model, *form.parts
        for name in json:
            # Text now: the transform may go on to change a list or a dict that it gave.
            if values.get(name) is not None:
                values = {**values, name: json_text(values[name])}
        if defaults:
            values = defaults | values
        if len(values) != width:
            return None
        cells.append(pick(values))
        positions.append(position)
    return found


@cache
def _has_json(source: str) -> bool:
    """Whether a model of the source has a column whose values the transform may yet change."""
    return any(
        isinstance(column.field, models.JSONField)
        for model in derived_models(source)
        for column in columns_of(model).given
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How the rows of a model are taken apart."""

    source: str
    parts: tuple[Callable[[dict[str, Any]], Cells], int, tuple[str, ...], dict[str, Any]]
    """A row's cells in column order; how many; the JSON columns; what is not given."""


@cache
def _form(model: type[models.Model]) -> _Form | None:
    """None where the model's rows are converted one by one."""
    if not issubclass(model, Derived):
        return None
    columns = columns_of(model)
    given = columns.given
    if columns.merges_fields or any(pa.types.is_list(c.arrow) for c in given):
        return None
    defaults = {c.name: c.default for c in given if not c.is_required}
    if any(defaults.get(c.name, "") is None and not c.nullable for c in given):
        return None
    json = tuple(c.name for c in given if isinstance(c.field, models.JSONField))
    names = [column.name for column in given]
    pick = itemgetter(*names) if len(names) > 1 else _alone(names[0])
    return _Form(source=model._meta.app_label, parts=(pick, len(names), json, defaults))


def _alone(name: str) -> Callable[[dict[str, Any]], Cells]:
    return lambda values: (values[name],)


def _convert(gathered: Sequence[Gathered]) -> Iterator[Converted | Payload]:
    if not gathered:
        return
    try:
        columns = {
            model: _columns(model, gathered)
            for model in dict.fromkeys(chain.from_iterable(one.rows for one in gathered))
        }
    except Refused:
        if len(gathered) == 1:
            yield gathered[0].payload
            return
        half = len(gathered) // 2
        yield from _convert(gathered[:half])
        yield from _convert(gathered[half:])
    else:
        yield Converted(gathered, columns)


def _columns(model: type[models.Model], gathered: Sequence[Gathered]) -> list[pa.Array]:
    having = [(one.payload, *one.rows[model]) for one in gathered if model in one.rows]
    cells = chain.from_iterable(cells for _, cells, _ in having)
    columns = zip(*cells, strict=True)
    arrays = [
        as_array(column, values)
        for column, values in zip(columns_of(model).given, columns, strict=True)
    ]
    return [*arrays, *_lineage(having)]


def _lineage(having: Sequence[tuple[Payload, list[Cells], list[int]]]) -> Iterator[pa.Array]:
    """For each row its payload's fetch, request, run and time, and its position there."""
    payloads = [payload for payload, _, _ in having]
    counts = [len(positions) for _, _, positions in having]
    which = pa.array(
        chain.from_iterable([place] * count for place, count in enumerate(counts)), pa.int32()
    )
    text = pa.string()
    yield pa.array([str(payload.fetch_id) for payload in payloads], text).take(which)
    yield pa.array([payload.request_key for payload in payloads], text).take(which)
    yield pa.array([str(payload.run_id) for payload in payloads], text).take(which)
    moments = pa.array([payload.fetched_at for payload in payloads], pa.timestamp("us", tz="UTC"))
    yield moments.take(which)
    yield pa.array(chain.from_iterable(positions for _, _, positions in having), pa.int32())
