"""Statements that PostgreSQL plans once on each connection, and that go out together.

Django writes values into a statement's text, which is then parsed and planned anew, one round trip
after another: more work than most of our statements are. Here values travel beside the text, a
text that comes again is prepared, and statements that need nothing of each other share a round
trip. This speaks to libpq through `psycopg.pq`; psycopg turns values into bytes and back.
"""

import re
import select
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn, PGresult

Statement = tuple[str, Sequence[Any] | None]
Row = tuple[Any, ...]

_PREPARED_AFTER = 2
"""Times that a connection meets a statement unprepared."""
_MOST = 100
"""Statements that a connection keeps."""
_PLACE = re.compile("%[s%]")


class Read:
    """Rows that were read, as a cursor gives them."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def fetchall(self) -> list[Row]:
        return self.fetchmany(len(self._rows))

    def fetchmany(self, size: int) -> list[Row]:
        given, self._rows = self._rows[:size], self._rows[size:]
        return given


class PreparedConnection:
    """Executes statements on one of Django's connections; errors are Django's."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        # Looked up here: what a proxy stands for is another connection in another thread.
        held: Any = connection.connection
        self._connection = connection
        self._held: psycopg.Connection[Any] = held
        self._pgconn: PGconn = held.pgconn
        self._texts = _texts_of.setdefault(held, _Texts())

    def execute_all(self, statements: Sequence[Statement]) -> list[Read]:
        """Execute statements with a `%s` for each parameter, all in one round trip."""
        with self._connection.wrap_database_errors:
            try:
                self._texts.make_room(len(statements), self._pgconn)
                calls = [_Call(self._held, self._texts, *each) for each in statements]
                if len(calls) == 1:
                    results = [calls[0].execute(self._pgconn)]
                else:
                    results = self._in_one_trip(calls)
                return [
                    Read(each.rows(result)) for each, result in zip(calls, results, strict=True)
                ]
            except _stale():
                # Its table is another one since it was prepared, or a pooler in between has changed
                # the server's side. A new connection knows nothing that is wrong.
                self._held.close()
                raise

    def _in_one_trip(self, calls: Sequence["_Call"]) -> "list[PGresult]":
        try:
            return self._together(calls)
        except BaseException:
            # Half of what was sent may still be on its way back.
            self._held.close()
            raise

    def _together(self, calls: Sequence["_Call"]) -> "list[PGresult]":
        """The result of each, of which one may be an error (libpq's pipeline mode)."""
        from psycopg.pq import ConnStatus, ExecStatus

        pgconn = self._pgconn
        pgconn.enter_pipeline_mode()
        for call in calls:
            call.send(pgconn)
        pgconn.pipeline_sync()
        waiting = select.poll()
        waiting.register(pgconn.socket, select.POLLIN)
        while pgconn.flush():
            waiting.modify(pgconn.socket, select.POLLIN | select.POLLOUT)
            waiting.poll()
            pgconn.consume_input()
        waiting.modify(pgconn.socket, select.POLLIN)
        results: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                # Waits without holding up the other threads, as `get_result` would.
                waiting.poll()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None and pgconn.status == ConnStatus.BAD:
                raise _lost(pgconn)
            if result is None:
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                break
            results.append(result)
        pgconn.exit_pipeline_mode()
        return results


class _Texts:
    """What one connection knows of the statements that it was given."""

    def __init__(self) -> None:
        self.count: dict[Any, int] = {}
        self.names: dict[Any, bytes] = {}

    def make_room(self, more: int, pgconn: "PGconn") -> None:
        """Forget everything where so many more would be too many: before any of them is named."""
        if len(self.names) + more > _MOST:
            _checked(pgconn.exec_(b"DEALLOCATE ALL"), pgconn)
            self.names.clear()
        if len(self.count) > 10 * _MOST:
            self.count.clear()


class _Call:
    """One statement with its parameters as bytes. Making it may prepare it."""

    def __init__(
        self,
        held: "psycopg.Connection[Any]",
        texts: _Texts,
        sql: str,
        params: Sequence[Any] | None,
    ) -> None:
        from psycopg.adapt import PyFormat, Transformer

        self._transformer = Transformer(held)
        self._params = None
        if params:
            given = [PyFormat.AUTO] * len(params)
            self._params = self._transformer.dump_sequence(params, given)
        self._types = self._transformer.types
        self._formats = self._transformer.formats
        self._sql = _numbered(sql)
        key = (sql, self._types)
        self._name = texts.names.get(key)
        if self._name is None and params is not None:
            self._name = self._prepared(held.pgconn, texts, key)

    def _prepared(self, pgconn: "PGconn", texts: _Texts, key: Any) -> bytes | None:
        """The name under which the statement is prepared now, if it is time to."""
        seen = texts.count[key] = texts.count.get(key, 0) + 1
        if seen <= _PREPARED_AFTER:
            return None
        name = b"rootcellar_%d" % len(texts.names)
        _checked(pgconn.prepare(name, self._sql, self._types), pgconn)
        texts.names[key] = name
        return name

    def execute(self, pgconn: "PGconn") -> "PGresult":
        if self._name is None:
            return pgconn.exec_params(self._sql, self._params, self._types, self._formats)
        # Its type forgets that a parameter may be null.
        return pgconn.exec_prepared(self._name, self._params, self._formats)  # type: ignore[arg-type]

    def send(self, pgconn: "PGconn") -> None:
        if self._name is None:
            pgconn.send_query_params(self._sql, self._params, self._types, self._formats)
        else:
            pgconn.send_query_prepared(self._name, self._params, self._formats)

    def rows(self, result: "PGresult") -> list[Row]:
        """The rows of a result. Raises the error that it is."""
        from psycopg.pq import ExecStatus

        if result.status != ExecStatus.TUPLES_OK:
            _checked(result, None)
            return []
        self._transformer.set_pgresult(result)
        found: list[Row] = self._transformer.load_rows(0, result.ntuples, tuple)
        return found


_texts_of: "WeakKeyDictionary[psycopg.Connection[Any], _Texts]" = WeakKeyDictionary()


def prepared(connection: BaseDatabaseWrapper) -> PreparedConnection | None:
    """A connection of Django's, to execute on; null where statements are not to be prepared."""
    if connection.vendor != "postgresql" or not settings.PREPARE_STATEMENTS:
        return None
    connection.ensure_connection()
    return PreparedConnection(connection)


def _numbered(sql: str) -> bytes:
    """The statement with `$1`, `$2` … for its parameters."""
    known = _numbered_texts.get(sql)
    if known is None:
        if len(_numbered_texts) > 10 * _MOST:
            _numbered_texts.clear()
        number = iter(range(1, sql.count("%s") + 1))
        text = _PLACE.sub(lambda found: "%" if found[0] == "%%" else f"${next(number)}", sql)
        known = _numbered_texts[sql] = text.encode()
    return known


_numbered_texts: dict[str, bytes] = {}


def _checked(result: "PGresult", pgconn: "PGconn | None") -> None:
    """Raise the error that a result is."""
    from psycopg.errors import error_from_result
    from psycopg.pq import ConnStatus, ExecStatus

    if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        return
    if pgconn is not None and pgconn.status == ConnStatus.BAD:
        raise _lost(pgconn)
    raise error_from_result(result)


def _lost(pgconn: "PGconn") -> Exception:
    from psycopg import OperationalError

    return OperationalError(f"the connection is lost: {pgconn.get_error_message()}")


def _stale() -> tuple[type[Exception], ...]:
    from psycopg import errors

    return (
        errors.FeatureNotSupported,
        errors.InvalidSqlStatementName,
        errors.DuplicatePreparedStatement,
    )
