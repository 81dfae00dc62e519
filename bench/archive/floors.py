"""What plain libraries do with the same payloads: pyarrow in 500-row files, warcio."""

import asyncio
import io
import json
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from raw_store.payload import Payload

ROWS = 500
_SCHEMA = pa.schema(
    [
        ("url", pa.string()),
        ("status", pa.int16()),
        ("fetched_at", pa.timestamp("us", "UTC")),
        ("headers", pa.string()),
        ("body", pa.binary()),
    ]
)
Row = tuple[str, int | None, datetime, str, bytes | None]


def as_rows(payloads: Iterable[Payload]) -> list[Row]:
    """The five columns of the naive archive, headers as JSON text, made before the clock runs."""
    return [
        (each.url, each.status, each.fetched_at, json.dumps(each.headers), each.body)
        for each in payloads
    ]


def append_naively(folder: Path, rows: Sequence[Row]) -> None:
    """A Parquet file (zstd, level 3) of each 500 rows: written, fsynced, renamed."""
    folder.mkdir(parents=True)
    for start in range(0, len(rows), ROWS):
        _write(folder, rows[start : start + ROWS], start)


async def append_naively_async(folder: Path, rows: Iterable[Row]) -> None:
    """The same from an event loop, each file written in a thread while rows go on coming."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    pending: list[Row] = []
    writing: set[asyncio.Task[None]] = set()
    number = 0
    for row in rows:
        pending.append(row)
        if len(pending) == ROWS:
            task = asyncio.create_task(asyncio.to_thread(_write, folder, pending, number))
            writing.add(task)
            task.add_done_callback(writing.discard)
            pending, number = [], number + 1
            await asyncio.sleep(0)
    if pending:
        await asyncio.to_thread(_write, folder, pending, number)
    await asyncio.gather(*writing)


def _write(folder: Path, rows: Sequence[Row], number: int) -> None:
    columns = zip(*rows, strict=True)
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)],
        schema=_SCHEMA,
    )
    temporary = folder / f"{number:07d}.tmp"
    with open(temporary, "wb") as file:
        pq.write_table(
            table, file, compression="zstd", compression_level=3, use_dictionary=["status"]
        )
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / f"{number:07d}.parquet")
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def read_arrow(files: Iterable[Path]) -> int:
    """Every column of every file into Arrow, as `read_table` does it; returns bytes of bodies."""
    return sum(_body_bytes(pq.read_table(file, partitioning=None)) for file in files)


def read_arrow_one_thread(files: Iterable[Path]) -> int:
    """The same in one thread, batch by batch."""
    return sum(
        _body_bytes(batch)
        for file in files
        for batch in pq.ParquetFile(file).iter_batches(use_threads=False)
    )


def _body_bytes(table: "pa.Table | pa.RecordBatch") -> int:
    column = table["body"]
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return sum(_values_bytes(chunk) for chunk in chunks)


def _values_bytes(array: pa.Array) -> int:
    """Bytes between the first and the last offset: counted without making Python objects."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.binary_length(array)).as_py() or 0)


def write_warc(path: Path, payloads: Iterable[Payload]) -> None:
    """One gzipped WARC, a response record per payload, fsynced; later equal bodies as revisits."""
    seen: dict[tuple[str, bytes], str] = {}
    with open(path, "wb") as file:
        writer = WARCWriter(file, gzip=True)
        for payload in payloads:
            body = payload.body or b""
            date = payload.fetched_at.strftime("%Y-%m-%dT%H:%M:%SZ")
            heads = StatusAndHeaders("200 OK", list(payload.headers), protocol="HTTP/1.1")
            if first := seen.get((payload.url, body)):
                record = writer.create_revisit_record(
                    payload.url,
                    f"sha256:{payload.body_digest}",
                    payload.url,
                    first,
                    http_headers=heads,
                    warc_headers_dict={"WARC-Date": date},
                )
            else:
                seen[payload.url, body] = date
                record = writer.create_warc_record(
                    payload.url,
                    "response",
                    payload=io.BytesIO(body),
                    http_headers=heads,
                    warc_headers_dict={"WARC-Date": date},
                )
            writer.write_record(record)
        file.flush()
        os.fsync(file.fileno())


def read_warc(path: Path) -> int:
    """Every response's body; returns their bytes."""
    with open(path, "rb") as file:
        return sum(
            len(record.content_stream().read())
            for record in ArchiveIterator(file)
            if record.rec_type == "response"
        )
