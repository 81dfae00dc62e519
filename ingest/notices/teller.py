"""The teller: delivers notices for as long as the server lives."""

import asyncio
import logging

from django.db import connections

from ..uncancelled import uncancelled
from .outbox import deliver_due

logger = logging.getLogger(__name__)

EVERY_SECONDS = 2.0


async def keep_telling(every_seconds: float = EVERY_SECONDS) -> None:
    """Deliver what is due, for ever; a failure is logged and tried again."""
    while True:
        try:
            await uncancelled(asyncio.to_thread(_tell))
        except Exception:
            logger.exception("notices not delivered; tried again")
        await asyncio.sleep(every_seconds)


def _tell() -> None:
    try:
        deliver_due()
    finally:
        # The thread is a pool's; a connection left open in it would never be closed.
        connections.close_all()
