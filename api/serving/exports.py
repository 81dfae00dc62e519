"""Exports: all rows of one flat list, streamed as they are read.

A thread reads from a cursor that stays where it is, writes each batch in the form that was
asked for, and waits until the client has taken it. So memory holds one batch, whatever the
number of rows, and one statement reads one state of the database. A client that leaves, or
a time limit that passes, interrupts the statement.
"""

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from django.conf import settings
from django.db import connection, transaction
from graphql import GraphQLError
from graphql.execution.values import VariableValues
from strawberry.scalars import JSON

from reshape.columns import column_for

from ..catalog import Model
from ..compiled.documents import Known
from ..compiled.levels import ColumnShown
from ..compiled.plan import RowsRoot
from ..compiled.statements import Hole
from ..compiled.values import column_writer
from ..deadlines import Deadline
from ..errors import NotCompiled, RequestRefused
from ..limits import too_large
from ..schema import Api
from .answers import SECURITY, VARY, Message, Send, of_error, send_reply
from .formats import FORMS, Described, arrow_of
from .questions import Question

logger = logging.getLogger(__name__)

MAX_EXPORTS = 4
"""That are read at once in a process; further ones wait their turn."""
_FIRST_ROWS, _ROWS = 500, 4_000
_CHUNK = 256 * 1024
_ALL = 2**62

_threads = ThreadPoolExecutor(MAX_EXPORTS, thread_name_prefix="export")


class NotFlat(RequestRefused):
    """A question whose answer is no single list of columns."""


def asked_form(headers: Mapping[bytes, bytes]) -> str:
    """The media type of the export that a request prefers; empty where it wants an answer."""
    best, found = 0.0, ""
    for part in headers.get(b"accept", b"").decode("latin-1").lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        weight = 1.0
        for each in parameters:
            if each.startswith("q="):
                with contextlib.suppress(ValueError):
                    weight = float(each[2:])
        if weight > best:
            best, found = weight, kind
    return found if found in FORMS else ""


async def export(
    api: Api,
    known: Known,
    question: Question,
    form: str,
    tag: str,
    headers: Mapping[bytes, bytes],
    receive: Callable[[], Any],
    send: Send,
) -> None:
    """Send all rows of a question's list in a form of `FORMS`."""
    deadline = Deadline(settings.EXPORT_TIME_LIMIT)
    loop = asyncio.get_running_loop()
    try:
        root, variables, name = _flat(api, known, question)
    except RequestRefused as error:
        await send_reply(of_error(error, 406), headers, send)
        return
    sink = _Sink(lambda part: _wait(send(part), loop, deadline), _start(form, name, tag))
    leaving = asyncio.create_task(_leave(receive, deadline))
    work = loop.run_in_executor(_threads, _read, root, variables, form, sink, deadline)
    try:
        await work
    except RequestRefused as error:
        if not sink.has_begun:
            await send_reply(of_error(error), headers, send)
        elif not leaving.done():
            # The response stays without its end: the client sees that something is missing.
            logger.warning("export stopped field=%s: %s", name, error.message)
        return
    finally:
        deadline.abandon()
        leaving.cancel()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _leave(receive: Callable[[], Any], deadline: Deadline) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    deadline.abandon()


def _wait(sending: Any, loop: asyncio.AbstractEventLoop, deadline: Deadline) -> None:
    """Send from a thread, and wait until the client's connection takes more."""
    future = asyncio.run_coroutine_threadsafe(sending, loop)
    while True:
        try:
            future.result(timeout=0.5)
        except TimeoutError:
            if deadline.has_passed:
                future.cancel()
                raise deadline.exceeded() from None
            continue
        return


def _start(form: str, name: str, tag: str) -> Message:
    ending, _ = FORMS[form]
    headers = [
        (b"Content-Type", form.encode()),
        (b"Content-Disposition", f'attachment; filename="{name}.{ending}"'.encode()),
        VARY,
        *SECURITY,
    ]
    if tag:
        headers += [(b"ETag", f'"{tag}"'.encode()), (b"Cache-Control", b"private, no-cache")]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _flat(api: Api, known: Known, question: Question) -> tuple[RowsRoot, VariableValues, str]:
    """The one list of a question. Raises `NotFlat`."""
    if known.reach.is_volatile:
        raise NotFlat("An export is of the present rows of a model or rollup alone.")
    try:
        plan, variables = api.compiler.plan(
            known, question.operation or known.first_name, question.variables
        )
    except (NotCompiled, GraphQLError) as error:
        raise NotFlat(f"Only one list can be exported, and this is none: {error}") from error
    if len(plan.roots) != 1:
        raise NotFlat(f"Only one list can be exported; these are {len(plan.roots)} fields.")
    ((name, root),) = plan.roots.items()
    if not isinstance(root, RowsRoot):
        raise NotFlat(f"Only a list can be exported; {name} is none.")
    for key, shown in root.level.fields.items():
        if not isinstance(shown, ColumnShown):
            raise NotFlat(f"An export holds columns alone; leave out {name}.{key}.")
    return root, variables, name


def _read(
    root: RowsRoot, variables: VariableValues, form: str, sink: "_Sink", deadline: Deadline
) -> None:
    """Read all rows and write them. Raises `RequestRefused`, `TimeExceeded` among them."""
    try:
        with _cursor() as cursor, deadline.over_statement(connection):
            asked = root.arguments.read(variables)
            page = {
                Hole.OFFSET: asked.offset if asked.is_paged else 0,
                Hole.LIMIT: asked.limit if asked.is_paged else _ALL,
            }
            filled = root.statement.fill(asked, page, connection)
            described = _described(root)
            _, make = FORMS[form]
            writing = make(sink, described)
            if filled is not None:
                cursor.execute(*filled)
                size = _FIRST_ROWS
                while rows := cursor.fetchmany(size):
                    deadline.check()
                    columns = list(zip(*rows, strict=True))
                    writing.write([columns[place] for place in _places(root)])
                    if size == _FIRST_ROWS:
                        sink.pass_on()
                    size = _ROWS
            writing.close()
            sink.pass_on()
    except GraphQLError as error:
        if isinstance(error, RequestRefused):
            raise
        raise RequestRefused(error.message) from error
    except Exception as error:
        if (refusal := too_large(error)) is not None:
            raise refusal from error
        logger.exception("export failed")
        raise RequestRefused("Something went wrong; the server's log says what.") from error
    finally:
        connection.close()


@contextlib.contextmanager
def _cursor() -> Iterator[Any]:
    """A cursor that leaves the rows in the database until they are fetched."""
    if connection.vendor == "sqlite":
        # Reads one state until its last row, by SQLite's own doing.
        with connection.cursor() as cursor:
            yield cursor
        return
    # Outside a transaction a named cursor would write all its rows down first.
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        yield cursor


def _shown(root: RowsRoot) -> list[tuple[str, ColumnShown]]:
    return [
        (key, shown) for key, shown in root.level.fields.items() if isinstance(shown, ColumnShown)
    ]


def _places(root: RowsRoot) -> list[int]:
    return [shown.place for _, shown in _shown(root)]


def _described(root: RowsRoot) -> list[Described]:
    return [_describe(key, shown.model, shown) for key, shown in _shown(root)]


def _describe(key: str, model: Model, shown: ColumnShown) -> Described:
    field: Any = model._meta.get_field(shown.column.attname)
    scalar = shown.column.scalar
    expression = field.get_col(model._meta.db_table)
    converters = [
        *connection.ops.get_db_converters(expression),
        *expression.get_db_converters(connection),
    ]
    arrow = arrow_of(scalar, column_for(field).arrow)
    write = _json if scalar is JSON else str if arrow == "string" else None
    shown_as = column_writer(model, shown.column, shown.kind, connection)

    def read(values: Any) -> Any:
        for convert in converters:
            values = [convert(value, expression, connection) for value in values]
        if write is not None:
            return [None if value is None else write(value) for value in values]
        return values

    def show(values: Any) -> Any:
        values = shown_as(values)
        if scalar is JSON:
            # What came apart is one text again, so that every form may pass it on.
            return [
                value if value is None or isinstance(value, orjson.Fragment) else _fragment(value)
                for value in values
            ]
        return values

    return Described(
        name=key,
        arrow=arrow,
        scalar=scalar,
        show=show,
        read=read,
    )


def _fragment(value: Any) -> orjson.Fragment:
    return orjson.Fragment(_json(value))


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Integers beyond 64 bits.
        return json.dumps(value, separators=(",", ":"))


class _Sink(io.RawIOBase):
    """A file that sends what is written to it, in parts of some size."""

    def __init__(self, send: Callable[[Message], None], start: Message) -> None:
        super().__init__()
        self._send = send
        self._start = start
        self._parts: list[bytes] = []
        self._size = 0
        self._position = 0
        self.has_begun = False

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, part: Any) -> int:
        data = bytes(part)
        self._parts.append(data)
        self._size += len(data)
        self._position += len(data)
        if self._size >= _CHUNK:
            self.pass_on()
        return len(data)

    def pass_on(self) -> None:
        """Send what was written."""
        if not self.has_begun:
            self.has_begun = True
            self._send(self._start)
        if self._size:
            body = b"".join(self._parts)
            self._parts, self._size = [], 0
            self._send({"type": "http.response.body", "body": body, "more_body": True})
