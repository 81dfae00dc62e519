"""Async work of a command, stopped cleanly by Ctrl-C and SIGTERM."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

from django.core.management.base import CommandError


def run_until_stopped(work: Coroutine[Any, Any, None], kept: str) -> None:
    """Run async work; a signal cancels it, and its clean end is waited for.

    Raises `CommandError` with `kept`, which says what remains, and the signal's exit code.
    """
    stopped_by: list[signal.Signals] = []

    async def until_stopped() -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop(number: signal.Signals) -> None:
            stopped_by.append(number)
            task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Only the main thread may; elsewhere the caller stops the work its own way.
            with contextlib.suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, stop, number)
        await work

    try:
        asyncio.run(until_stopped())
    except asyncio.CancelledError:
        number = stopped_by[0] if stopped_by else signal.SIGINT
        raise CommandError(f"Interrupted. {kept}", returncode=128 + number) from None
