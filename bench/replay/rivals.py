"""The ways against which ours is measured, each in a process of its own, on plain Parquet files.

They load three times: everything, everything again, and everything with 1 % changed. The floor
also loads those 1 % alone, which only a programmer who knows what changed can do.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from . import floors
from .ours import Result, taken

Load = Callable[[Path], None]


def three_loads(load: Load, folder: Path) -> Result:
    return {
        "first": taken(lambda: load(folder / "pages.parquet")),
        "forced": taken(lambda: load(folder / "pages.parquet")),
        "changed": taken(lambda: load(folder / "pages-changed.parquet")),
    }


def floor(folder: Path, *, inputs: str, rows: int) -> Result:
    """pyarrow, orjson and one upsert, in SQLite or (with DATABASE_URL) PostgreSQL."""
    url = os.environ.get("DATABASE_URL")
    table: floors.Sqlite | floors.Postgresql
    table = floors.Postgresql(url) if url else floors.Sqlite(folder)
    found = three_loads(table.load, Path(inputs))
    found["changed_alone"] = taken(lambda: table.load(Path(inputs) / "changes.parquet"))
    assert table.count() == rows
    return found


def django_bulk(folder: Path, *, inputs: str, rows: int) -> Result:
    """`bulk_create(update_conflicts=True)` for each 20 payloads, in one transaction each."""
    from django.db import transaction

    from .fires.models import Fire

    def load(path: Path) -> None:
        for bodies in floors.groups(path):
            for start in range(0, len(bodies), 20):
                made = [Fire(**values) for values in _values(bodies[start : start + 20])]
                with transaction.atomic():
                    Fire._default_manager.bulk_create(
                        made,
                        update_conflicts=True,
                        unique_fields=["code"],
                        update_fields=[*floors.COLUMNS[1:], "fetch_id"],
                    )

    found = three_loads(load, Path(inputs))
    assert Fire._default_manager.count() == rows
    return found


def django_one_by_one(folder: Path, *, inputs: str, rows: int) -> Result:
    """`await aupdate_or_create` for each record."""
    from .fires.models import Fire

    async def load(path: Path) -> None:
        for bodies in floors.groups(path):
            for values in _values(bodies):
                await Fire._default_manager.aupdate_or_create(
                    code=values.pop("code"), defaults=values
                )

    found = three_loads(lambda path: asyncio.run(load(path)), Path(inputs))
    assert Fire._default_manager.count() == rows
    return found


def _values(bodies: list[bytes]) -> Iterator[dict[str, Any]]:
    import orjson

    for body in bodies:
        for record in orjson.loads(body)["records"]:
            record["code"] = record.pop("id")
            record["updated"] = datetime.fromisoformat(record["updated"])
            yield record | {"fetch_id": "018f0000-0000-7000-8000-000000000000"}
