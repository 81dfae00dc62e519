"""No secret reaches the disk: canaries of every shape, and then every byte that was written.

Searched are all files below the home folder (Parquet also column by column, compressed exports
also unpacked), the database with its free pages, log lines at DEBUG, and what commands print.
"""

import base64
import gzip
import io
import logging
import re
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection

from ingest import Secrets, extractor, registry
from ingest.models import Run
from ingest.supervisor import Supervisor
from raw_store.management.commands.archive import Command as ArchiveCommand

from .answering_canaries import SHAPES
from .canaries import Canary
from .conftest import FEED, QUICK, until
from .origin import response

_MASK = b"redacted-"
_WORD = re.compile(rb"(?:c4|y7)[0-9a-f]{16}")
_WIDE_WORD = re.compile(rb"(?:c\x004|y\x007)(?:\x00[0-9a-f]){16}")
_HEX_WORD = re.compile(rb"(?:6334|7937)(?:3[0-9]|6[1-6]){16}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}")
# A client sends no fragment.
_TRACELESS = frozenset({"address fragment"})


@pytest.fixture
def logged(caplog):
    """Every log line at DEBUG, the HTTP client's own included."""
    for name in ("", "httpx", "httpcore", "ingest", "raw_store"):
        caplog.set_level(logging.DEBUG, logger=name or None)
    return caplog


async def plant(shapes, origin, extract):
    """Run each shape with a canary of its own; return the canaries, by shape, and the runs."""
    canaries, runs = {}, {}
    for name, shape in shapes.items():
        canary = canaries[name] = Canary(shape.middle)

        async def pages(client, shape=shape, canary=canary):
            await shape.plant(client, origin, canary)

        runs[name] = await extract(pages, **shape.declaration)
    return canaries, runs


def words_in(content):
    """What may be a canary's word: plain, in UTF-16, in hexadecimal, or within base64."""
    found = set(_WORD.findall(content))
    found |= {each.replace(b"\0", b"") for each in _WIDE_WORD.findall(content)}
    found |= {bytes.fromhex(each.decode()) for each in _HEX_WORD.findall(content)}
    for run in set(_BASE64.findall(content)):
        for start in range(4):
            part = run[start:].replace(b"-", b"+").replace(b"_", b"/")
            found.update(_WORD.findall(base64.b64decode(part + b"A" * (-len(part) % 4))))
    return {word.decode() for word in found}


def leaks(canaries, places):
    """`shape: place` of each canary of which a word stands in one of `places`."""
    shapes = {word: name for name, canary in canaries.items() for word in canary.words}
    found = {(shapes[word], at) for at, content in places for word in words_in(content) & {*shapes}}
    return sorted(f"{name}: {at}" for name, at in found)


def written(home):
    """Everything on the disk and in the database, as (place, bytes)."""
    for path in Path(home).rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        yield str(path.relative_to(home)), content
        if path.suffix == ".parquet":
            for column, values in pq.read_table(path).to_pydict().items():
                yield f"{path.name}[{column}]", b"\0".join(as_bytes(value) for value in values)
        elif content[:2] == b"\x1f\x8b":
            yield f"{path.name} unpacked", gzip.decompress(content)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            yield f"table {table}", as_bytes(cursor.fetchall())
    if connection.vendor == "sqlite":
        yield "database", connection.connection.serialize()


def as_bytes(value):
    return value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogateescape")


def printed(home, archive):
    """What commands print, each export that the archive has included, as (place, bytes)."""

    def run(*arguments):
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command(*arguments, stdout=out, stderr=err)
        except (CommandError, SystemExit) as error:
            err.write(repr(error))
        return " ".join(map(str, arguments)), (out.getvalue() + err.getvalue()).encode()

    yield run("archive", "list", "--json")
    yield run("archive", "list", FEED, "--json")
    yield run("archive", "verify")
    yield run("extract", "--list")
    for payload in islice(archive.scan(FEED, bodies=False), 0, None, 10):
        yield run("archive", "show", payload.fetch_id)
    for action in exports():
        yield run("archive", action, FEED, "--output", str(home / "exports" / action))


def exports():
    """The names of the archive's actions that write payloads somewhere else."""
    parser = ArchiveCommand().create_parser("manage.py", "archive")
    [actions] = [each.choices for each in parser._actions if isinstance(each.choices, dict)]
    return [name for name in actions if name.startswith("export")]


async def test_no_canary_of_any_shape_is_in_anything_that_was_written(
    origin, extract, archive, payloads, home, logged
):
    canaries, runs = await plant(SHAPES, origin, extract)
    rows = await sync_to_async(payloads)()
    shown = await sync_to_async(lambda: list(printed(home, archive)))()
    places = [*await sync_to_async(lambda: list(written(home)))(), *shown]
    places.append(("log", logged.text.encode()))
    places += [
        (f"run of {name}", as_bytes(run.error + run.traceback)) for name, run in runs.items()
    ]

    assert len(canaries) >= 100
    assert leaks(canaries, places) == []
    assert list(unmasked(runs, rows)) == []
    assert any(".warc" in at for at, _ in places) or not exports()


def unmasked(runs, rows):
    """The shapes that left no trace: neither a mask nor an answer without its body."""
    for name, run in runs.items():
        said = as_bytes(run.error)
        for row in (row for row in rows if row.run_id == run.id):
            is_withheld = row.status == 200 and row.body is None and row.encoded_size
            said += as_bytes(row) + (_MASK if is_withheld else b"")
        if _MASK not in said and name not in _TRACELESS:
            yield name


@pytest.mark.parametrize(
    "hide",
    [
        bytes,
        lambda word: b"x" + base64.b64encode(b"user:" + word),
        lambda word: word.hex().encode(),
        lambda word: word.decode().encode("utf-16-le"),
    ],
)
def test_a_canary_is_found_however_it_is_written(hide):
    canary = Canary()

    found = leaks({"shape": canary}, [("file", b"\0." + hide(canary.words[1].encode()) + b".")])

    assert found == ["shape: file"]


async def test_a_canary_that_is_let_through_is_named(origin, extract, home):
    shapes = {
        name: SHAPES[name] for name in ("address parameter api_key", "request header X-Api-Key")
    }
    shape = shapes["address parameter api_key"]
    shape.declaration["secrets"] = Secrets(keep=["api_key"])
    try:
        canaries, _ = await plant(shapes, origin, extract)
    finally:
        del shape.declaration["secrets"]
    places = await sync_to_async(lambda: list(written(home)))()

    found = leaks(canaries, places)

    assert {each.partition(":")[0] for each in found} == {"address parameter api_key"}
    assert any("[url]" in each for each in found)
    assert any("table raw_store_latestversion" in each or "database" in each for each in found)


async def test_no_canary_is_in_what_a_supervisor_writes(
    origin, archive, declared, transactional_db, home, logged
):
    registry._extractors.clear()
    canary = Canary()
    url = origin.answer("/p", response(b"{}"))

    @extractor("orchard.pages", every="1s")
    async def pages(client):
        await client.get(url, headers={"Authorization": f"Bearer {canary}"})
        raise LookupError(f"no page for {canary}")

    def after_run(source):
        raise RuntimeError(f"cannot replay {canary}")

    supervisor = Supervisor(archive, after_run, patience=QUICK, lead_seconds=0.1)
    await supervisor.start()
    try:
        await until(lambda: "replay failed" in logged.text)
    finally:
        await supervisor.stop()
    places = await sync_to_async(lambda: list(written(home)))()
    run = await Run.objects.alatest("started_at")

    assert "LookupError: no page for redacted-" in run.traceback
    assert leaks({"supervised": canary}, [*places, ("log", logged.text.encode())]) == []
    assert re.search(r"RuntimeError: cannot replay redacted-[0-9a-f]{16}", logged.text)
