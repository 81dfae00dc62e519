"""The floor: the same answers from three SELECTs, dicts and orjson, with nothing around them.

uvicorn bench.serve.floor_app:application
"""

import os
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

_connection: Any = None


def _execute(sql: str) -> list[Any]:
    global _connection
    if _connection is None:
        url = os.environ.get("DATABASE_URL", "")
        if url.startswith("postgres"):
            import psycopg

            _connection = psycopg.connect(url, autocommit=True)
        else:
            path = f"{os.environ['ROOTCELLAR_HOME']}/db.sqlite3"
            _connection = sqlite3.connect(path, isolation_level=None)
    found: list[Any] = _connection.execute(sql).fetchall()
    return found


def answer(item: int | None) -> bytes:
    """The items, or the one item, with what requires them."""
    of_item = "" if item is None else f" WHERE item_id = {item}"
    items = _execute(
        "SELECT id, name, image, value FROM item"
        + ("" if item is None else f" WHERE id = {item}")
        + " ORDER BY id"
    )
    links = _execute(f"SELECT item_id, quest_id, quantity FROM requirement{of_item} ORDER BY id")
    quests = _execute(
        "SELECT id, title, image, text FROM quest"
        + (f" WHERE id IN (SELECT quest_id FROM requirement{of_item})" if of_item else "")
    )
    by_id = {row[0]: {"title": row[1], "image": row[2], "text": row[3]} for row in quests}
    lists: dict[int, list[Any]] = {row[0]: [] for row in items}
    for item_id, quest_id, quantity in links:
        lists[item_id].append({"quantity": quantity, "quest": by_id[quest_id]})
    shown = [
        {
            "id": row[0],
            "name": row[1],
            "image": row[2],
            "value": row[3],
            "requiredFor": lists[row[0]],
        }
        for row in items
    ]
    return orjson.dumps({"data": {"items": shown} if item is None else {"item": shown[0]}})


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    found = answer(orjson.loads(body)["variables"].get("id"))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(found)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": found})
