"""Deadlines: the moment by which an operation has to be answered, and its end if it is not.

A statement runs in a thread, where nothing of Python's can stop it; its database can. So
whoever runs one says how it is interrupted, and one thread of the process looks after all
that run. An interrupt that comes between two statements is lost, so it is repeated.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from .errors import TimeExceeded

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.02

DEADLINE = "rootcellar.deadline"
"""Where a request's ASGI scope holds its deadline."""

_running: "set[Deadline]" = set()
_something_runs = threading.Event()
_watcher: list[threading.Thread] = []
_lock = threading.Lock()


class Deadline:
    """When one operation has to end."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = settings.GRAPHQL_TIME_LIMIT if seconds is None else seconds
        self.ends_at = time.monotonic() + self.seconds
        self._interrupts: dict[int, Callable[[], object]] = {}
        self._lock = threading.Lock()
        self._is_abandoned = False

    @property
    def has_passed(self) -> bool:
        return self._is_abandoned or time.monotonic() >= self.ends_at

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.ends_at - time.monotonic())

    def abandon(self) -> None:
        """End the work now: nobody waits for it any more."""
        self._is_abandoned = True
        _watch()

    def check(self) -> None:
        """Raise `TimeExceeded` when the moment has come."""
        if self.has_passed:
            raise self.exceeded()

    def exceeded(self) -> TimeExceeded:
        """What is told to a client whose question took too long."""
        return TimeExceeded(
            f"This took longer than {self.seconds:g} seconds and was stopped. Ask for smaller "
            "pages, fewer levels, or filters that an index serves."
        )

    @contextmanager
    def over(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Work that `interrupt()`, called from another thread, ends with an error.

        Raises `TimeExceeded` instead of what the work raises once the moment has come.
        """
        self.check()
        mine = id(interrupt)
        with self._lock:
            self._interrupts[mine] = interrupt
        with _lock:
            _running.add(self)
        _watch()
        try:
            yield
        except Exception as error:
            if self.has_passed:
                raise self.exceeded() from error
            raise
        finally:
            # Waits for an interrupt under way: it must not meet what runs here next.
            with self._lock:
                del self._interrupts[mine]
                is_idle = not self._interrupts
            if is_idle:
                with _lock:
                    _running.discard(self)

    def over_statement(self, connection: BaseDatabaseWrapper) -> Any:
        """`over` for a statement on one of Django's connections."""
        connection.ensure_connection()
        # Looked up here: what a proxy stands for is another connection in another thread.
        held: Any = connection.connection
        if connection.vendor == "sqlite":
            return self.over(held.interrupt)
        return self.over(lambda: held.cancel_safe(timeout=2.0))

    def interrupt(self) -> None:
        """Interrupt whatever runs for the operation."""
        with self._lock:
            for end in self._interrupts.values():
                try:
                    end()
                except Exception:
                    logger.exception("a statement was not interrupted")


def _watch() -> None:
    _something_runs.set()
    if not _watcher or not _watcher[0].is_alive():
        with _lock:
            if not _watcher or not _watcher[0].is_alive():
                _watcher[:] = [threading.Thread(target=_look_after, name="deadlines", daemon=True)]
                _watcher[0].start()


def _look_after() -> None:
    while True:
        _something_runs.wait()
        time.sleep(_LOOK_EVERY_S)
        with _lock:
            passed = [one for one in _running if one.has_passed]
            if not _running:
                _something_runs.clear()
        for one in passed:
            one.interrupt()
