"""A process that extracts every case, with and without `keep_encoded`, and tells what it saw.

python -m tests.ingest.wire.harvest          prints one JSON object; the archive stays
"""

import asyncio
import hashlib
import json
import socket
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import groupby
from typing import Any

import django

from .case import Case
from .cases import CASES
from .server import Server

# Below the number of idle connections that the client keeps.
AT_ONCE = 16


def limits(case: Case) -> tuple[float, int]:
    return case.timeout, case.max_body


def feed_of(case: Case, keep_encoded: bool) -> str:
    """The feed that a case is archived in: what an extractor declares goes for all it fetches."""
    known = sorted({limits(each) for each in CASES})
    return f"wire.{'encoded' if keep_encoded else 'plain'}_{known.index(limits(case))}"


async def extract_all() -> dict[str, object]:
    with ExitStack() as held:
        return await _extract_all(held)


async def _extract_all(held: ExitStack) -> dict[str, object]:
    servers = {case.name: await Server(case.replies).start() for case in CASES}
    for case in CASES:
        if case.is_refused:
            await servers[case.name].stop()
            # Bound, so that no other program gets the port meanwhile; nobody listens.
            taken = closing(socket.socket())
            held.enter_context(taken).bind(("127.0.0.1", servers[case.name].port))
    told: dict[str, object] = {}
    for keep_encoded in (False, True):
        for (timeout, max_body), cases in groupby(sorted(CASES, key=limits), key=limits):
            together = list(cases)
            for case in together:
                servers[case.name].begin_again()
            feed = feed_of(together[0], keep_encoded)
            told[feed] = await extract(
                feed,
                together,
                servers,
                timeout=timeout,
                max_body=max_body,
                keep_encoded=keep_encoded,
            )
    ports = {name: server.port for name, server in servers.items()}
    for case in CASES:
        if not case.is_refused:
            await servers[case.name].stop()
    return {"feeds": told, "ports": ports}


async def extract(
    feed: str, cases: list[Case], servers: dict[str, Server], **declaration
) -> dict[str, object]:
    from ingest import extractor
    from ingest.pace import Patience
    from ingest.runs import run_feed
    from raw_store.archive import Archive

    seen: dict[str, list[object]] = {}
    places = asyncio.Semaphore(AT_ONCE)

    @extractor(feed, **declaration)
    async def each(client):
        async def one(case: Case):
            async with places:
                seen[case.name] = [
                    await ask(client, case, servers[case.name].port) for _ in range(case.times)
                ]
                await servers[case.name].hang_up()

        await asyncio.gather(*(one(case) for case in cases))

    run = await run_feed(feed, Archive(), patience=Patience(attempts=1, ceiling=30.0))
    return {
        "outcome": run.outcome,
        "error": run.error,
        "seen": seen,
        "connections": {case.name: servers[case.name].connections for case in cases},
        "asked": {
            case.name: [head.decode("latin-1") for head in servers[case.name].asked]
            for case in cases
        },
    }


async def ask(client, case: Case, port: int) -> dict[str, object]:
    """Ask once; what the extractor sees of it: a body, or an error."""
    from ingest import IngestError

    try:
        response = await client.request(
            case.method,
            case.url.format(port=port),
            headers=dict(case.headers),
            content=case.content,
        )
    except IngestError as error:
        return {"error": str(error)}
    rows.append(response.payload)
    return {
        "fetch_id": str(response.payload.fetch_id),
        "status": response.status_code,
        "digest": hashlib.sha256(response.content).hexdigest(),
    }


rows: list[Any] = []
"""As the writer took them, before they went through a segment."""


def changed() -> list[str]:
    """The fetches that a segment gives back in another way than it was given them."""
    from raw_store.archive import Archive

    found = {row.fetch_id: row for row in Archive().scan()}
    return [
        str(row.fetch_id)
        for row in rows
        # A spooled body comes back as bytes.
        if replace(found[row.fetch_id], body=row.body, encoded_body=row.encoded_body) != row
    ]


def main() -> None:
    django.setup()
    from raw_store.archive import Archive

    told = asyncio.run(extract_all())
    told["problems"] = [problem for report in Archive().verify() for problem in report.problems]
    told["changed"] = changed()
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main()
