"""The threads that operations read in: long-lived, each with its connection.

Django's ASGI handling runs the database work of every request in a thread of its own, which
opens a connection for it. A server opens these workers once instead. Where none are open, as
in a command or a test, operations read in the thread that Django would use.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

Found = TypeVar("Found")

# Statements run side by side; what Python does with their rows does not.
WORKER_COUNT = min(8, (os.cpu_count() or 1) + 2)

# A server that is busy asks a connection's health no more often than this.
_TRUSTED_SECONDS = 1.0

_thread = threading.local()
_workers: list[ThreadPoolExecutor] = []


def open_workers() -> None:
    """Start the threads of this process. A server does, once."""
    if not _workers:
        _workers.append(ThreadPoolExecutor(WORKER_COUNT, thread_name_prefix="read"))


def close_workers() -> None:
    """End the threads, and the connections that they hold."""
    while _workers:
        pool = _workers.pop()
        # As many tasks as threads, each waiting for the others: every thread gets one.
        together = threading.Barrier(WORKER_COUNT)
        for _ in range(WORKER_COUNT):
            pool.submit(_close, together)
        pool.shutdown()


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
        return await loop.run_in_executor(_workers[0], _reading, task, work)
    except asyncio.CancelledError:
        task.cancel()
        raise


def _doing(task: _Task, work: Callable[[], Found]) -> Found:
    _thread.task = task
    try:
        return work()
    finally:
        _thread.task = None


def _reading(task: _Task, work: Callable[[], Found]) -> Found:
    if time.monotonic() - getattr(_thread, "used_at", 0.0) > _TRUSTED_SECONDS:
        _give_back()
    try:
        return _doing(task, work)
    finally:
        _thread.used_at = time.monotonic()
        if any(each.errors_occurred for each in connections.all(initialized_only=True)):
            _give_back()


def _give_back() -> None:
    """Return what came from a pool, which looks whether a connection lives before it lends it."""
    for connection in connections.all(initialized_only=True):
        if connection.vendor != "sqlite" or connection.errors_occurred:
            connection.close()


def _close(together: threading.Barrier) -> None:
    with contextlib.suppress(threading.BrokenBarrierError):
        together.wait(timeout=5)
    connections.close_all()
