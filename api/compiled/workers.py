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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


async def in_worker(work: Callable[[], Found]) -> Found:
    """Run a function that reads, off the event loop."""
    if not _workers:
        return await sync_to_async(work)()
    return await asyncio.get_running_loop().run_in_executor(_workers[0], _reading, work)


def _reading(work: Callable[[], Found]) -> Found:
    if time.monotonic() - getattr(_thread, "used_at", 0.0) > _TRUSTED_SECONDS:
        _give_back()
    try:
        return work()
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
