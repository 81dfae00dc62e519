"""One operation: what its resolvers share while it is executed.

Loaders gather the keys that the rows of one level ask for, so that a level costs one
statement; the budget bounds what nested lists can multiply to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from strawberry.dataloader import DataLoader
from strawberry.extensions import SchemaExtension

from .errors import RequestRefused

MAX_ROWS = 100_000

Batch = Callable[[list[Any]], Sequence[Any]]


@dataclass(slots=True)
class Operation:
    """The loaders of one operation, and how many rows its answer may still hold."""

    rows_left: int = MAX_ROWS
    _loaders: dict[object, DataLoader[Any, Any]] = field(default_factory=dict)

    def load(self, name: object, key: Any, batch: Callable[[], Batch]) -> Awaitable[Any]:
        """What `name`'s loader gives for `key`; `batch()` makes it when first asked for.

        The batch gets every key of one level at once, in the thread that the database
        connection lives in, and gives a value for each. What is awaited is shielded: an
        error in one field cancels its siblings, and the value belongs to others as well.
        """
        loader = self._loaders.get(name)
        if loader is None:
            load = sync_to_async(batch())
            loader = self._loaders[name] = DataLoader(load_fn=load)
        return asyncio.shield(loader.load(key))

    def spend(self, row_count: int) -> None:
        """Count rows of the answer; raises `RequestRefused` beyond the operation's budget.

        A row counts wherever it stands: rows that were read once may stand in an answer
        a thousand times, in lists that lead back and forth.
        """
        self.rows_left -= row_count
        if self.rows_left < 0:
            raise RequestRefused(
                f"This answer would hold more than {MAX_ROWS} rows. "
                "Ask for smaller pages, above all of lists within lists."
            )


_current: ContextVar[Operation] = ContextVar("operation")


def current() -> Operation:
    """The operation that is being executed."""
    return _current.get()


class OperationScope(SchemaExtension):
    """Gives every operation its own loaders and budget."""

    def on_execute(self) -> Iterator[None]:
        token = _current.set(Operation())
        try:
            yield
        finally:
            _current.reset(token)
