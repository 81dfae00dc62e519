"""The program as an ASGI application: Django, what is pushed to it, and the scheduler for as long
as the server lives.

uvicorn etl.asgi:application
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from django.core.asgi import get_asgi_application

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from ingest.receiving.application import Receiving
    from ingest.supervisor import Supervisor

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl.settings")

logger = logging.getLogger(__name__)

_django = get_asgi_application()

# Django is set up from here on.
from api.compiled.workers import close_workers, open_workers  # noqa: E402
from api.serving.door import Door  # noqa: E402
from warehouse.errors import WarehouseError  # noqa: E402
from warehouse.sql_pool.pool import close_pool  # noqa: E402

_door = Door(_django)

_at_start: "list[asyncio.Task[None]]" = []
"""Work begun with the server; a task that nobody holds may vanish."""
_receiving: "Receiving | None" = None
"""What is pushed goes here; made with the server, or by the first push to one without lifespan."""


async def application(scope: "Message", receive: "Receive", send: "Send") -> None:
    """Serve a request, or accompany the server from its start to its shutdown."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["type"] == "http" and scope["path"].startswith("/ingest/"):
        await _received_here()(scope, receive, send)
        return
    try:
        await _door(scope, receive, send)
    except WarehouseError as error:
        # An answer that was begun and cannot be ended: whoever reads it sees it break off.
        logger.warning("answer cut short path=%s reason=%s", scope.get("path"), error)


async def _lifespan(receive: "Receive", send: "Send") -> None:
    supervisor = None
    stop = threading.Event()
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                open_workers()
                await asyncio.to_thread(_settle)
                supervisor = await _start(stop)
                _hear_of_the_end()
            except Exception as error:
                logger.exception("the scheduler did not start")
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            stop.set()
            if _receiving is not None:
                await _receiving.close()
            if supervisor is not None:
                await supervisor.stop()
            _door.close()
            await asyncio.to_thread(close_workers)
            await close_pool()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _hear_of_the_end() -> None:
    """Let streams end when the server is told to stop: it waits for every connection.

    It tells its application only after that, so the signals are heard here as well.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)

        def hear(signum: int, frame: Any, before: Any = before) -> None:
            _door.streams.close()
            if callable(before):
                before(signum, frame)

        if callable(before):
            signal.signal(number, hear)


def _received_here() -> "Receiving":
    global _receiving
    if _receiving is None:
        from ingest.receiving.application import Receiving
        from raw_store.archive import Archive

        _receiving = Receiving(Archive(), _after_run)
    return _receiving


def _settle() -> None:
    """Make the schema now, and tell the garbage collector that what is there will stay."""
    from api.errors import SchemaError
    from api.schema import get_api
    from raw_store.long_lived import settle_in

    # A view tells whoever asks that there is no schema.
    with contextlib.suppress(SchemaError):
        get_api()
    settle_in()


async def _start(stop: threading.Event) -> "Supervisor | None":
    from django.conf import settings

    from ingest.notices.channels import all_channels
    from ingest.notices.teller import keep_telling
    from ingest.supervisor import Supervisor
    from raw_store.archive import Archive
    from raw_store.erasing import warn_of_unfinished
    from raw_store.store_check import ensure_store

    from .checks import check_settings
    from .on_change import catch_up

    if all_channels():
        _at_start.append(asyncio.create_task(keep_telling()))
    if not settings.SCHEDULER:
        return None
    check_settings()
    await asyncio.to_thread(ensure_store, settings.ARCHIVE_URL)
    await asyncio.to_thread(warn_of_unfinished)
    supervisor = Supervisor(Archive(), _after_run)
    await supervisor.start()
    # What was loaded by earlier code is derived anew meanwhile.
    _at_start.append(asyncio.create_task(asyncio.to_thread(_in_thread, catch_up, stop)))
    return supervisor


def _in_thread(work: "Callable[[threading.Event], None]", stop: threading.Event) -> None:
    from django.db import connections

    try:
        work(stop)
    except Exception:
        logger.exception("the sources whose code changed were not replayed")
    finally:
        connections.close_all()


def _after_run(source: str) -> None:
    from reshape.registry import transforms_of

    from .on_change import refresh_unasked
    from .walk import tidy

    try:
        if transforms_of(source):
            refresh_unasked(source)
    finally:
        tidy(source)
