"""Reading for one operation: statements on one connection, counted, timed and within bounds."""

import datetime as dt
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from django.db.backends.base.base import BaseDatabaseWrapper
from graphql.execution.values import VariableValues

from ..catalog import Model
from ..deadlines import Deadline
from ..errors import NotCompiled
from ..lineage import Payload, RollupBuild, read_builds, read_payloads
from ..operation import MAX_ROWS
from .arguments import Asked
from .snapshots import Snapshot
from .statements import Holes, Sql, Statement

Row = tuple[Any, ...]
Fetch = Callable[[int], list[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A statement that was executed."""

    sql: str
    row_count: int | None
    """Null where the database did not say."""
    milliseconds: float


def _are_integers(values: list[Any]) -> bool:
    return set(map(type, values)) == {int}


@dataclass(frozen=True, slots=True)
class Asking:
    """A statement with all that it needs to be executed."""

    statement: Statement
    asked: Asked
    holes: Holes

    def filled(self, connection: BaseDatabaseWrapper) -> Sql | None:
        return self.statement.fill(self.asked, self.holes, connection)


@dataclass(slots=True, kw_only=True)
class Reader:
    """What a plan reads with. `state` says which database, `variables` the values."""

    state: Snapshot
    variables: VariableValues
    deadline: Deadline = field(default_factory=Deadline)
    rows_left: int = MAX_ROWS
    ran: list[Ran] = field(default_factory=list)
    _builds: dict[Model, RollupBuild] = field(default_factory=dict)
    _ahead: dict[Hashable, list[Row]] = field(default_factory=dict)
    _payloads: dict[tuple[Model, UUID], Payload | None] = field(default_factory=dict)

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return self.state.connection

    def rows(
        self,
        statement: Statement,
        asked: Asked,
        holes: Holes,
        cut: Callable[[Fetch], list[Row]] | None = None,
    ) -> list[Row]:
        """The rows of a statement, flat, as the database gives them; those that `cut` takes."""
        filled = statement.fill(asked, holes, self.connection)
        if filled is None:
            return []
        begun = time.perf_counter()
        cursor = self.state.execute(*filled)
        found: list[Row] = cut(cursor.fetchmany) if cut else cursor.fetchall()
        self._note(filled[0], found, begun)
        return found

    def rows_and_ahead(
        self, statement: Statement, asked: Asked, ahead: Mapping[Hashable, Asking]
    ) -> list[Row]:
        """The rows of a statement. Those of the statements `ahead` come with them where that takes
        no longer, and `ahead` gives them under their names."""
        filled = statement.fill(asked, {}, self.connection)
        if filled is None:
            return []
        others = {name: each.filled(self.connection) for name, each in ahead.items()}
        known = {name: each for name, each in others.items() if each is not None}
        begun = time.perf_counter()
        cursors = self.state.execute_all([filled, *known.values()])
        found: list[Row] = cursors[0].fetchall()
        self._note(filled[0], found, begun)
        for (name, (sql, _)), cursor in zip(known.items(), cursors[1:], strict=True):
            rows = self._ahead[name] = cursor.fetchall()
            self._note(sql, rows, begun)
        return found

    def ahead(self, name: Hashable) -> list[Row] | None:
        """Rows that were read ahead; null where they were not."""
        return self._ahead.get(name)

    def _note(self, sql: str, found: list[Row], begun: float) -> None:
        milliseconds = (time.perf_counter() - begun) * 1000
        self.ran.append(Ran(sql=sql, row_count=len(found), milliseconds=milliseconds))

    def keys(self, values: list[Any]) -> Any:
        """Keys of rows, as the one parameter that `Hole.KEYS` is."""
        if self.connection.vendor == "postgresql":
            # Written out: the driver would look at each for the smallest type that holds all.
            return f"{{{','.join(map(str, values))}}}" if _are_integers(values) else values
        array = orjson.dumps(values).decode()
        if "\\u0000" in array:
            raise NotCompiled("a key that holds a NUL character, where SQLite's JSON ends")
        return array

    def key(self, value: Any) -> Any:
        """A row's key as a parameter."""
        return value.isoformat() if isinstance(value, dt.date) else value

    def spend(self, row_count: int) -> None:
        """Count rows of the answer, wherever they stand. The budget is the operation's."""
        self.deadline.check()
        self.rows_left -= row_count
        if self.rows_left < 0:
            raise NotCompiled(f"an answer of more than {MAX_ROWS} rows")

    def build(self, model: Model) -> RollupBuild:
        """The computation behind a rollup's rows, read once."""
        if model not in self._builds:
            begun = time.perf_counter()
            (self._builds[model],) = read_builds([model])
            milliseconds = (time.perf_counter() - begun) * 1000
            self.ran.append(Ran(sql="(the rollup's build)", row_count=1, milliseconds=milliseconds))
        return self._builds[model]

    def payloads(self, model: Model, fetch_ids: Iterable[UUID]) -> dict[UUID, Payload | None]:
        """The payloads of these fetches, of which a model's rows were made.

        What was read for another level is not read again.
        """
        wanted = dict.fromkeys(fetch_ids)
        new = [fetch_id for fetch_id in wanted if (model, fetch_id) not in self._payloads]
        if new:
            begun = time.perf_counter()
            read = read_payloads(model, new)
            self._payloads |= {
                (model, each): payload for each, payload in zip(new, read, strict=True)
            }
            milliseconds = (time.perf_counter() - begun) * 1000
            self.ran.append(Ran(sql="(the archive)", row_count=len(new), milliseconds=milliseconds))
        return {fetch_id: self._payloads[model, fetch_id] for fetch_id in wanted}
