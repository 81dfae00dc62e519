"""The compiled path in strawberry's life of an operation, and `extensions.plan`.

`on_execute` sets the result where a plan answers, so that strawberry does not execute. The
result's data is JSON already: only a caller that encodes with orjson is given it, the view.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from django.db import connection
from strawberry.django.context import StrawberryDjangoContext
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import ExecutionResult

from ..access.callers import Caller
from ..deadlines import Deadline
from ..errors import TimeExceeded
from .answers import Answer, Compiler
from .documents import Documents, Known
from .reading import Ran
from .workers import in_worker


@dataclass
class Asking(StrawberryDjangoContext):
    """The context of an operation that comes over HTTP and is encoded by orjson."""

    tells_plan: bool = False
    """Whether the answer is to tell how it was made."""
    caller: Caller | None = None
    """Who asks; null for the program itself."""
    deadline: Deadline = field(default_factory=Deadline)


class CompiledPath(SchemaExtension):
    """Answers an operation by its plan where it has one."""

    def __init__(self, compiler: Callable[[], Compiler], documents: Documents) -> None:
        self._compiler = compiler
        self._documents = documents
        self._told: dict[str, Any] = {}

    async def on_execute(self) -> AsyncIterator[None]:
        asking = self.execution_context.context
        if not isinstance(asking, Asking):
            yield
            return
        try:
            answer = await self._answer(asking.deadline)
        except TimeExceeded as error:
            self.execution_context.result = ExecutionResult(data=None, errors=[error])
            yield
            return
        if answer.data is not None:
            data: Any = orjson.Fragment(answer.data)
            self.execution_context.result = ExecutionResult(data=data, errors=None)
            if asking.tells_plan:
                self._told = self._plan("compiled", None, answer.ran)
            yield
            return
        ran: list[Ran] = []
        async with _watched(ran, asking.deadline):
            yield
        if asking.tells_plan:
            self._told = self._plan("ordinary", answer.reason, ran)

    def get_results(self) -> dict[str, Any]:
        """What the answer's `extensions` hold."""
        return self._told

    async def _answer(self, deadline: Deadline) -> Answer:
        context = self.execution_context
        known = self._documents.learn(context.query or "")
        assert isinstance(known, Known)  # what is not valid is not executed
        name, inputs = context.operation_name, context.variables or {}
        compiler = self._compiler()
        return await in_worker(lambda: compiler.answer(known, name, inputs, deadline=deadline))

    def _plan(self, path: str, reason: str | None, ran: Any) -> dict[str, Any]:
        context = self.execution_context
        known = self._documents.learn(context.query or "")
        assert isinstance(known, Known)
        cost = known.reach.cost(context.operation_name or known.first_name, context.variables or {})
        return {"cost": cost, **_told(path, reason, ran)}


@asynccontextmanager
async def _watched(ran: list[Ran], deadline: Deadline) -> AsyncIterator[None]:
    """Note the statements that Django executes in the request's thread, and end them in time."""

    def watch(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        begun = time.perf_counter()
        with deadline.over_statement(context["connection"]):
            found = execute(sql, params, many, context)
        milliseconds = (time.perf_counter() - begun) * 1000
        count = context["cursor"].rowcount
        ran.append(Ran(sql=sql, row_count=count if count >= 0 else None, milliseconds=milliseconds))
        return found

    await sync_to_async(lambda: connection.execute_wrappers.append(watch))()
    try:
        yield
    finally:
        await sync_to_async(lambda: connection.execute_wrappers.remove(watch))()


def _told(path: str, reason: str | None, ran: Any) -> dict[str, Any]:
    return {
        "plan": {
            "path": path,
            "reason": reason,
            "statements": [
                {"sql": one.sql, "rows": one.row_count, "ms": round(one.milliseconds, 3)}
                for one in ran
            ],
        }
    }
