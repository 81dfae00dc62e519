"""The program as an ASGI application: Django, and the scheduler for as long as the server lives.

uvicorn etl.asgi:application
"""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from django.core.asgi import get_asgi_application

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from ingest.supervisor import Supervisor

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl.settings")

logger = logging.getLogger(__name__)

_django = get_asgi_application()


async def application(scope: "Message", receive: "Receive", send: "Send") -> None:
    """Serve a request, or accompany the server from its start to its shutdown."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        await _django(scope, receive, send)  # type: ignore[arg-type]


async def _lifespan(receive: "Receive", send: "Send") -> None:
    supervisor = None
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                supervisor = await _start()
            except Exception as error:
                logger.exception("the scheduler did not start")
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            if supervisor is not None:
                await supervisor.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _start() -> "Supervisor | None":
    from django.conf import settings

    from ingest.supervisor import Supervisor
    from raw_store.archive import Archive
    from raw_store.erasing import warn_of_unfinished
    from raw_store.store_check import ensure_store

    if not settings.SCHEDULER:
        return None
    await asyncio.to_thread(ensure_store, settings.ARCHIVE_URL)
    await asyncio.to_thread(warn_of_unfinished)
    supervisor = Supervisor(Archive(), _after_run)
    await supervisor.start()
    return supervisor


def _after_run(source: str) -> None:
    from reshape.registry import transforms_of

    from .walk import refresh_unattended, tidy

    try:
        if transforms_of(source):
            refresh_unattended(source)
    finally:
        tidy(source)
