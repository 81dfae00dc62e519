"""Interrupts what runs in a DuckDB connection when its time is over; nothing here needs Django."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from .errors import QueryFailed, QueryTimeout


class Deadline:
    """Interrupts what runs in a connection when its time is over."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float | None) -> None:
        self.passed = False
        self._connection = connection
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._seconds is not None:
            self._thread.join()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say of DuckDB's errors what happened: too slow, stopped by Ctrl-C, or a mistake."""
        try:
            yield
        # While rows stream, errors come by way of Arrow, as an OSError.
        except (duckdb.Error, OSError, pa.ArrowException, RuntimeError) as error:
            if self.passed:
                raise QueryTimeout(
                    f"The statement was stopped after {self._seconds:g} s, which is as long as "
                    "one may take. Ask for less, or for a rollup of it."
                ) from None
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from None
            raise QueryFailed(str(error)) from None

    def _watch(self) -> None:
        if self._done.wait(self._seconds):
            return
        self.passed = True
        # An interrupt between planning and running is lost, so it is repeated.
        while not self._done.wait(0.02):
            self._connection.interrupt()
