"""Ctrl-C for a statement that is running inside DuckDB.

Python acts on a signal only between its own instructions, and a long statement is one
instruction. The signal's number arrives in a pipe at once, though, and a thread that
waits there interrupts the statement; then Python raises its KeyboardInterrupt.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb


@contextmanager
def stoppable(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let Ctrl-C stop what runs in `connection` meanwhile. To be used in the main thread."""
    arrived, announce = os.pipe()
    os.set_blocking(announce, False)
    done = threading.Event()

    def watch() -> None:
        while number := os.read(arrived, 1):
            # An interrupt between planning and running is lost, so it is repeated.
            while number[0] == signal.SIGINT and not done.wait(0.02):
                connection.interrupt()

    thread = threading.Thread(target=watch, daemon=True)
    before = signal.set_wakeup_fd(announce)
    thread.start()
    try:
        yield
    finally:
        done.set()
        signal.set_wakeup_fd(before)
        os.close(announce)
        thread.join()
        os.close(arrived)
