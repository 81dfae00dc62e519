"""Handing over: sources with new payloads are given to whoever replays them, one at a time."""

import asyncio
import logging
from collections.abc import Callable

from django.db import connections

from .uncancelled import uncancelled

logger = logging.getLogger(__name__)

AfterRun = Callable[[str], object]


class HandOver:
    """Calls `after_run(source)` in a thread for each source that was marked; once, however often
    it was marked meanwhile, and never for two sources at a time."""

    def __init__(self, after_run: AfterRun | None) -> None:
        self._after_run = after_run
        self._changed: dict[str, None] = {}
        self._something_changed = asyncio.Event()

    def mark(self, source: str) -> None:
        """Say that a source has new payloads."""
        self._changed[source] = None
        self._something_changed.set()

    async def run(self) -> None:
        """Hand over what is marked, for ever. A failure is logged: the next mark tries again."""
        while True:
            await self._something_changed.wait()
            self._something_changed.clear()
            while self._changed:
                source = next(iter(self._changed))
                del self._changed[source]
                if self._after_run is None:
                    continue
                try:
                    await uncancelled(asyncio.to_thread(_call, self._after_run, source))
                except Exception:
                    logger.exception("replay failed source=%s; its next run tries again", source)


def _call(after_run: AfterRun, source: str) -> None:
    try:
        after_run(source)
    finally:
        # The thread is a pool's; a connection left open in it would never be closed.
        connections.close_all()
