"""Other ways to fetch the pages, each in a process of its own, in the environment build/peers.

    python rivals.py WAY ADDRESS PAGES CONCURRENCY FOLDER        prints one JSON object

`+archive` is what one writes by hand: rows of five columns, a Parquet file for each 500, written,
fsynced and renamed in a thread. It imports nothing of this project but `lateness.py` beside it.
"""

import asyncio
import datetime
import json
import os
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import lateness  # type: ignore[import-not-found]

_ROWS = 500

Keep = Callable[[str, int, str, bytes], None]


class NaiveArchive:
    """Rows in memory, written in a thread when there are enough of them."""

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa

        self._folder = folder
        self._rows: list[tuple[Any, ...]] = []
        self._writing: set[asyncio.Task[None]] = set()
        self._count = 0
        self._schema = pa.schema(
            [
                ("url", pa.string()),
                ("status", pa.int16()),
                ("fetched_at", pa.timestamp("us", "UTC")),
                ("headers", pa.string()),
                ("body", pa.binary()),
            ]
        )

    def add(self, url: str, status: int, headers: str, body: bytes) -> None:
        self._rows.append((url, status, datetime.datetime.now(datetime.UTC), headers, body))
        if len(self._rows) >= _ROWS:
            self._begin()

    async def close(self) -> None:
        if self._rows:
            self._begin()
        await asyncio.gather(*self._writing)

    def _begin(self) -> None:
        rows, self._rows = self._rows, []
        self._count += 1
        task = asyncio.create_task(asyncio.to_thread(self._write, rows, self._count))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def _write(self, rows: list[tuple[Any, ...]], number: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = zip(*rows, strict=True)
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        temporary = self._folder / f"{number}.tmp"
        with temporary.open("wb") as file:
            table = pa.Table.from_arrays(arrays, schema=self._schema)
            pq.write_table(table, file, compression="zstd", compression_level=3)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._folder / f"{number}.parquet")
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


async def _each(urls: list[str], concurrency: int, one: Callable[[str], Awaitable[None]]) -> None:
    waiting = iter(urls)

    async def some() -> None:
        for url in waiting:
            await one(url)

    await asyncio.gather(*(some() for _ in range(concurrency)))


async def streams(urls: list[str], concurrency: int, keep: Keep | None) -> None:
    """Bare asyncio streams: the least that Python can do. It knows what this one server sends."""
    host, port = urls[0].split("/")[2].split(":")
    waiting = iter(urls)

    async def some() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for url in waiting:
            path = "/" + url.split("/", 3)[3]
            asked = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept-Encoding: gzip\r\n\r\n"
            writer.write(asked.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            lowered = head.lower()
            at = lowered.index(b"content-length:") + 15
            body = await reader.readexactly(int(lowered[at : lowered.index(b"\r", at)]))
            body = zlib.decompress(body, 31)
            if keep:
                keep(url, 200, head.decode("latin-1"), body)
        writer.close()

    await asyncio.gather(*(some() for _ in range(concurrency)))


async def aiohttp(urls: list[str], concurrency: int, keep: Keep | None) -> None:
    import aiohttp as library  # type: ignore[import-not-found]

    connector = library.TCPConnector(limit=concurrency)
    async with library.ClientSession(connector=connector) as session:

        async def one(url: str) -> None:
            async with session.get(url) as response:
                body = await response.read()
                assert response.status == 200
                if keep:
                    headers = json.dumps(list(response.headers.items()))
                    keep(url, response.status, headers, body)

        await _each(urls, concurrency, one)


async def httpx(urls: list[str], concurrency: int, keep: Keep | None) -> None:
    import httpx as library

    await _with_httpx(library.AsyncClient(), urls, concurrency, keep)


async def httpx_aiohttp(urls: list[str], concurrency: int, keep: Keep | None) -> None:
    import httpx as library
    from httpx_aiohttp import HttpxAiohttpClient  # type: ignore[import-not-found]

    limits = library.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    await _with_httpx(HttpxAiohttpClient(limits=limits), urls, concurrency, keep)


async def _with_httpx(client: Any, urls: list[str], concurrency: int, keep: Keep | None) -> None:
    async with client:

        async def one(url: str) -> None:
            response = await client.get(url)
            assert response.status_code == 200
            if keep:
                headers = json.dumps(response.headers.multi_items())
                keep(url, response.status_code, headers, response.content)

        await _each(urls, concurrency, one)


async def _timed(name: str, urls: list[str], concurrency: int, folder: Path) -> dict[str, Any]:
    way, _, kept = name.partition("+")
    archive = NaiveArchive(folder) if kept else None
    late: list[float] = []
    ticking = asyncio.create_task(lateness.measure(late))
    started, computed = time.perf_counter(), time.process_time()
    await _CLIENTS[way](urls, concurrency, archive.add if archive else None)
    if archive:
        await archive.close()
    work, cpu = time.perf_counter() - started, time.process_time() - computed
    ticking.cancel()
    return {"pages": len(urls), "work_s": work, "cpu_s": cpu, **lateness.summary(late)}


def scrapy_cache(urls: list[str], concurrency: int, folder: Path) -> dict[str, Any]:
    """Scrapy with its HTTP cache in files, politeness and all that can be off switched off."""
    import scrapy  # type: ignore[import-not-found]
    from scrapy.crawler import CrawlerProcess  # type: ignore[import-not-found]

    got = 0

    class Pages(scrapy.Spider):  # type: ignore[misc]
        name = "pages"

        async def start(self) -> Any:
            for url in urls:
                yield scrapy.Request(url, dont_filter=True)

        def parse(self, response: Any) -> None:
            nonlocal got
            got += bool(response.body)

    process = CrawlerProcess(
        {
            "CONCURRENT_REQUESTS": concurrency,
            "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
            "DOWNLOAD_DELAY": 0,
            "AUTOTHROTTLE_ENABLED": False,
            "ROBOTSTXT_OBEY": False,
            "COOKIES_ENABLED": False,
            "RETRY_ENABLED": False,
            "TELNETCONSOLE_ENABLED": False,
            "LOG_LEVEL": "WARNING",
            "HTTPCACHE_ENABLED": True,
            "HTTPCACHE_DIR": str(folder),
        }
    )
    started, computed = time.perf_counter(), time.process_time()
    process.crawl(Pages)
    process.start()
    assert got == len(urls), got
    work, cpu = time.perf_counter() - started, time.process_time() - computed
    return {"pages": got, "work_s": work, "cpu_s": cpu}


def dlt_rest(urls: list[str], concurrency: int, folder: Path) -> dict[str, Any]:
    """dlt's REST source: listings, the pages they name in parallel, normalised, as Parquet."""
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
        "EXTRACT__WORKERS": str(concurrency),
        "EXTRACT__MAX_PARALLEL_ITEMS": str(concurrency * 4),
        "DLT_DATA_DIR": str(folder / "dlt"),
        "DLT_PROJECT_DIR": str(folder),
    }
    import dlt  # type: ignore[import-not-found]
    from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]

    listing = {
        "path": "index/0.json",
        "data_selector": "results",
        "paginator": {"type": "json_link", "next_url_path": "next"},
    }
    page = {"path": "p/{resources.listing.slug}", "data_selector": "$", "paginator": "single_page"}
    source = rest_api_source(
        {
            "client": {"base_url": f"{urls[0].rpartition('/p/')[0]}/"},
            "resource_defaults": {"parallelized": True},
            "resources": [
                {"name": "listing", "selected": False, "endpoint": listing},
                {"name": "pages", "endpoint": page},
            ],
        }
    )
    source.resources["listing"].add_limit(len(urls) // 100)
    started, computed = time.perf_counter(), time.process_time()
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=f"file://{folder}/lake"),
        dataset_name="bench",
    )
    pipeline.run(source, loader_file_format="parquet")
    work, cpu = time.perf_counter() - started, time.process_time() - computed
    rows = pipeline.last_trace.last_normalize_info.row_counts
    assert rows.get("pages") == len(urls), rows
    return {"pages": rows["pages"], "work_s": work, "cpu_s": cpu}


_CLIENTS = {
    "streams": streams,
    "aiohttp": aiohttp,
    "httpx": httpx,
    "httpx_aiohttp": httpx_aiohttp,
}
_FRAMEWORKS = {"scrapy_cache": scrapy_cache, "dlt_rest": dlt_rest}


def main() -> None:
    name, address, pages, concurrency, folder = sys.argv[1:]
    urls = [f"{address}/p/{number:05d}.json" for number in range(int(pages))]
    if name in _FRAMEWORKS:
        told = _FRAMEWORKS[name](urls, int(concurrency), Path(folder))
    else:
        told = asyncio.run(_timed(name, urls, int(concurrency), Path(folder)))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
