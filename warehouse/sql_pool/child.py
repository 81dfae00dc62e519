"""A process that answers statements, one after the other, until its pipe is closed.

    python -m warehouse.sql_pool.child MEMORY_MB

It knows nothing of Django and is given no environment to speak of. It runs at low priority, is
the first that the system ends when memory runs short, and ends with the server, even in the
middle of a statement.
"""

import contextlib
import os
import queue
import resource
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa

from warehouse.deadline import Deadline
from warehouse.errors import (
    QueryFailed,
    QueryTimeout,
    StatementRefused,
    TooManyRows,
    WarehouseError,
)
from warehouse.walls import open_walled, readable, without_end

from .asked import DATA, END, ERROR, HEAD, NICENESS, READY, Asked, Frames, Place, questions, unpack
from .catalogue import refuse_outside
from .formats import BATCH_ROWS, Column, make_writer, unique

SPILL_SIZE = "2GB"
# What Python, Arrow and the libraries need besides DuckDB's own memory.
_MEMORY_BESIDE_MB = 512
# Beyond these a process makes room for a fresh one once its statement is answered.
_LARGEST_RESTING_MB = 300
# And beyond this much of its own data, in use or not: the limit counts what libraries hold on to,
# and the next statement would have the rest of it alone.
_MOST_HELD_MB = 400
_MOST_STATEMENTS = 500
_CODES: dict[type[BaseException], str] = {
    StatementRefused: "refused",
    QueryTimeout: "timeout",
    TooManyRows: "too_many_rows",
    QueryFailed: "failed",
}


def main() -> None:
    """Answer what arrives on standard input, on standard output."""
    source, target = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        # Whatever a library prints must not get among the frames, nor fill the server's log.
        os.dup2(nothing, descriptor)
    _withdraw(int(sys.argv[1]))
    frames = Frames(target)
    frames.send(READY, b"")
    door = _Door()
    for count, body in enumerate(_arriving(source), 1):
        asked, place = unpack(body)
        with contextlib.suppress(BrokenPipeError):
            _answer(asked, place, door, frames, is_last=count == _MOST_STATEMENTS)
        with contextlib.suppress(WarehouseError):
            door.open(place)


def _withdraw(memory_mb: int) -> None:
    """Take as little of the machine as can be."""
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    limit = (memory_mb + _MEMORY_BESIDE_MB) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not there on other systems than Linux.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _arriving(source: int) -> Iterator[bytes]:
    """The questions; the process ends at once when the pipe is closed, whatever it is doing."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def watch() -> None:
        for body in questions(source):
            waiting.put(body)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    while True:
        yield waiting.get()


class _Door:
    """The connection to a build, opened in advance: that takes longer than most statements.

    Statements leave nothing behind in it, as they only read; after one that failed there is a
    new one all the same.
    """

    def __init__(self) -> None:
        self._place: Place | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None

    def open(self, place: Place) -> duckdb.DuckDBPyConnection:
        """The connection to this place. Raises `QueryFailed` where there is none."""
        if self._connection is None or self._place != place:
            self.close()
            self._connection = open_walled(
                Path(place.build),
                folders=map(Path, place.folders),
                spill=Path(place.spill),
                memory=f"{place.memory_mb}MB",
                spill_size=SPILL_SIZE,
                threads=1,
            )
            self._place = place
        return self._connection

    def close(self) -> None:
        """Have the next statement get a new connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _answer(asked: Asked, place: Place, door: _Door, frames: Frames, *, is_last: bool) -> None:
    try:
        rows, is_cut = _run(asked, door.open(place), frames)
    except (WarehouseError, MemoryError, pa.ArrowException, duckdb.Error) as error:
        if not isinstance(error, StatementRefused):
            door.close()
        code = _CODES.get(type(error), "failed")
        told = {"code": code, "message": _told(error, place), "retires": is_last or _is_large()}
        frames.send(ERROR, orjson.dumps(told))
    else:
        end = {"rows": rows, "is_cut": is_cut, "retires": is_last or _is_large()}
        frames.send(END, orjson.dumps(end))


def _run(asked: Asked, connection: duckdb.DuckDBPyConnection, frames: Frames) -> tuple[int, bool]:
    """Answer one statement; return how many rows it has, and whether there were more."""
    with Deadline(connection, asked.seconds) as deadline:
        with deadline.explained():
            found = _asked_of(connection, asked)
            names = unique(found.columns)
            kinds = map(str, found.types)
            columns = [
                Column(name=name, type=kind) for name, kind in zip(names, kinds, strict=True)
            ]
            writer = make_writer(asked.form, columns, lambda data: frames.send(DATA, data))
            # Names may be anything, and repeated: from here on they are c0, c1 and so on.
            numbered = ", ".join(f"#{n + 1} AS c{n}" for n in range(len(columns)))
            wanted = asked.rows_allowed if asked.rows is None else asked.rows
            limited = found.project(numbered).limit(wanted + 1)
            reader = limited.project(writer.selection()).to_arrow_reader(BATCH_ROWS)
        try:
            count, is_begun = 0, False
            batches = _batches(reader, deadline)
            batch = next(batches, None)
            while True:
                is_cut = batch is not None and count + batch.num_rows > wanted
                if is_cut and asked.rows is None:
                    raise TooManyRows(
                        f"The answer has more than {wanted:,} rows, which is as many as one may "
                        "have. Ask for less, or for the first ones with `rows`."
                    )
                if not is_begun:
                    # Whatever was wrong with the first rows is said in place of an answer.
                    is_begun = True
                    frames.send(HEAD, orjson.dumps([asdict(column) for column in columns]))
                    writer.begin(reader.schema)
                if batch is None:
                    break
                kept = batch.slice(0, wanted - count)
                if kept.num_rows:
                    writer.write(kept)
                count += kept.num_rows
                if is_cut:
                    break
                batch = next(batches, None)
            writer.close(count, is_cut)
            return count, is_cut
        finally:
            reader.close()


def _asked_of(connection: duckdb.DuckDBPyConnection, asked: Asked) -> duckdb.DuckDBPyRelation:
    queries = readable(connection, asked.sql)
    if len(queries) != 1:
        raise QueryFailed(f"One statement is expected; here are {len(queries)}.")
    (statement,) = connection.extract_statements(queries[0])
    refuse_outside(connection, statement)
    sql = without_end(queries[0])
    if asked.parameters:
        return connection.sql(sql, params=asked.parameters)
    return connection.sql(sql)


def _batches(reader: pa.RecordBatchReader, deadline: Deadline) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            with deadline.explained():
                batch = reader.read_next_batch()
        except StopIteration:
            return
        yield batch


def _told(error: BaseException, place: Place) -> str:
    """What the asker is told; where things lie on this machine is not theirs to know."""
    if isinstance(error, MemoryError):
        return "The statement needs more memory than it may have."
    # DuckDB goes on to advise settings, which are not the asker's to set.
    message = str(error).partition("\n\nPossible solutions")[0]
    for path in sorted([place.build, place.spill, *place.folders], key=len, reverse=True):
        message = message.replace(path, "…")
    return message


def _is_large() -> bool:
    _, resident, _, _, _, data, _ = map(int, Path("/proc/self/statm").read_text().split())
    page = resource.getpagesize() / (1024 * 1024)
    return resident * page > _LARGEST_RESTING_MB or data * page > _MOST_HELD_MB


if __name__ == "__main__":
    main()
