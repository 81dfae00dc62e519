"""The threads that operations read in: long-lived, each with its connection.

Django's ASGI handling runs the database work of every request in a thread of its own, which
opens a connection for it. A server opens these workers once instead. Where none are open, as
in a command or a test, operations read in the thread that Django would use.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as DatabaseFailed

from .threads import Threads

logger = logging.getLogger(__name__)


Found = TypeVar("Found")

# Statements run side by side; what Python does with their rows does not.
WORKER_COUNT = min(8, (os.cpu_count() or 1) + 2)

# A server that is busy asks a connection's health no more often than this.
_TRUSTED_SECONDS = 1.0

_thread = threading.local()
_workers: list[Threads] = []


def open_workers() -> None:
    """Start the threads of this process. A server does, once."""
    if not _workers:
        # While PostgreSQL works on one answer, Python may on another; with SQLite both are one.
        at_once = 1 if connections[DEFAULT_DB_ALIAS].vendor == "sqlite" else 2
        end = connections.close_all
        _workers.append(Threads(WORKER_COUNT, "read", at_once=at_once, at_end=end))


def close_workers() -> None:
    """End the threads, and the connections that they hold."""
    while _workers:
        _workers.pop().shutdown()


def workers_are_open() -> bool:
    """Whether this process has such threads."""
    return bool(_workers)


@dataclass(slots=True)
class Interruptible:
    """Work that something else than its end may stop."""

    stop: Callable[[], None]
    is_late: bool = False
    _over: threading.Event = field(default_factory=threading.Event)
    _stopping: threading.Lock = field(default_factory=threading.Lock)

    def end(self) -> None:
        """It is over: nothing is to be stopped any more."""
        with self._stopping:
            self._over.set()

    def expire(self) -> None:
        """Stop it because its time is over."""
        self.is_late = True
        self.halt()

    def halt(self) -> None:
        """Stop it; an interrupt that comes too early is lost, so it is repeated."""
        while not self._over.wait(0.02):
            # What is over is closed at once, and then not to be touched.
            with self._stopping:
                if not self._over.is_set():
                    self.stop()


class _Task:
    """What one call of `in_worker` has running, so that it can be stopped."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self.running: Interruptible | None = None
        self.left: list[Callable[[], None]] = []
        """What is to be done once it was answered."""

    def cancel(self) -> None:
        """Whoever waited has gone: stop what runs, without waiting for it."""
        self.is_cancelled = True
        if (running := self.running) is not None:
            threading.Thread(target=running.halt, daemon=True).start()


@contextlib.contextmanager
def interruptible(stop: Callable[[], None], seconds: float) -> Iterator[Interruptible]:
    """Run something that `stop` interrupts: after some seconds, or when its asker has gone."""
    state, task = Interruptible(stop), getattr(_thread, "task", None)
    clock = threading.Timer(seconds, state.expire)
    clock.daemon = True
    clock.start()
    if task is not None:
        task.running = state
        if task.is_cancelled:
            task.cancel()
    try:
        yield state
    finally:
        state.end()
        clock.cancel()
        if task is not None:
            task.running = None


async def in_worker(work: Callable[[], Found]) -> Found:
    """Run a function that reads, off the event loop.

    When the caller is cancelled, what the function runs as `interruptible` is stopped.
    """
    task = _Task()
    try:
        if not _workers:
            return await sync_to_async(_doing)(task, work)
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Found] = loop.create_future()
        _workers[0].submit(partial(_reading, task, work, partial(_deliver, loop, found)))
        return await found
    except asyncio.CancelledError:
        task.cancel()
        raise


def _doing(task: _Task, work: Callable[[], Found]) -> Found:
    _thread.task = task
    try:
        return work()
    finally:
        _thread.task = None


def afterwards(work: Callable[[], None]) -> None:
    """Do something once the answer of this thread's task is given, or now where there is none."""
    task = getattr(_thread, "task", None)
    if task is None or not getattr(_thread, "is_worker", False):
        work()
    else:
        task.left.append(work)


def catch_up() -> None:
    """Do what was left for after the answer: what comes next needs it done."""
    task = getattr(_thread, "task", None)
    while task is not None and task.left:
        task.left.pop()()


def _reading(
    task: _Task, work: Callable[[], Any], deliver: Callable[[Any, BaseException | None], None]
) -> None:
    """Do the work of a task in one of the threads, and deliver what it gives or raises."""
    _thread.is_worker = True
    try:
        if time.monotonic() - getattr(_thread, "used_at", 0.0) > _TRUSTED_SECONDS:
            _give_back()
        found = _doing(task, work)
    except BaseException as error:
        deliver(None, error)
    else:
        deliver(found, None)
    try:
        for each in task.left:
            each()
    except DatabaseFailed:
        # The answer is given; the connection goes.
        logger.exception("a connection is given up")
        connections.close_all()
    _thread.used_at = time.monotonic()
    if any(each.errors_occurred for each in connections.all(initialized_only=True)):
        _give_back()


def _deliver(
    loop: asyncio.AbstractEventLoop,
    future: "asyncio.Future[Any]",
    found: Any,
    error: BaseException | None,
) -> None:
    # Where the loop is closed nobody waits.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, future, found, error)


def _settle(future: "asyncio.Future[Any]", found: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(found)
    elif isinstance(error, StopIteration):
        # No future can hold it.
        future.set_exception(RuntimeError("a worker's function raised StopIteration"))
    else:
        future.set_exception(error)


def _give_back() -> None:
    """Return what came from a pool, which looks whether a connection lives before it lends it."""
    for connection in connections.all(initialized_only=True):
        if connection.vendor != "sqlite" or connection.errors_occurred:
            connection.close()
