"""Columnar copies: each table's rows as Parquet, ordered by key, beside the database.

A copy is one file, or one with a layer of changes upon it (`reshape.layers`). Rollups read them,
never the serving database. `ModelState` says which copy a table equals; one that is missing is
written again from the table.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.db import connection, models
from django.utils import timezone

from .columns import columns_of
from .layers import GONE, base_of, count_rows, write_copy
from .models import Derived, ModelState
from .sql import duck, empty_table
from .tables import read_table

logger = logging.getLogger(__name__)


def present_copy(model: type[models.Model]) -> Path | None:
    """The copy that equals the table as last loaded; None where there is none here.

    A copy made before the model's columns changed is none, nor is one that cannot be read. Tables
    that sources share (quarantine, held rows) have no copy.
    """
    state = ModelState.objects.filter(table=model._meta.db_table).first()
    path = Path(settings.WAREHOUSE_DIR) / state.copy_path if state else None
    try:
        return path if path and path.exists() and _fits(path, model) else None
    except (pa.ArrowInvalid, OSError) as error:
        logger.warning("copy unreadable, to be written anew path=%s error=%s", path, error)
        return None


def present_copies(of: Iterable[type[models.Model]]) -> dict[str, Path]:
    """Table → its present copy, for those of the models that have one."""
    found = {model._meta.db_table: present_copy(model) for model in of}
    return {table: path for table, path in found.items() if path}


def restore_copies(of: Iterable[type[models.Model]]) -> None:
    """Write the copies that are missing, from the tables as they are.

    They are missing in a new home folder, and after a load that withheld deletions.
    """
    for model in of:
        if present_copy(model) is None and model._default_manager.exists():
            with duck() as duckdb:
                duckdb.execute(empty_table("live", columns_of(model).schema))
                for batch in read_table(connection, model):
                    duckdb.register("batch", batch)
                    duckdb.execute("INSERT INTO live BY NAME SELECT * FROM batch")
                    duckdb.unregister("batch")
                path, _ = write_copy(duckdb, model, "live")
            remember_copy(model._meta.app_label, model, path)


def remember_copy(source: str, model: type[models.Model], copy: Path | None) -> None:
    """Note which copy the table equals now, if any."""
    table = model._meta.db_table
    if copy is None:
        ModelState.objects.filter(table=table).delete()
        return
    path = str(copy.relative_to(settings.WAREHOUSE_DIR))
    if not ModelState.objects.filter(table=table, copy_path=path).exists():
        ModelState.objects.update_or_create(
            table=table,
            defaults={
                "source": source,
                "copy_path": path,
                "row_count": count_rows(copy),
                "changed_at": timezone.now(),
            },
        )


def _fits(path: Path, model: type[models.Model]) -> bool:
    held, wanted = pq.read_schema(path), columns_of(model).schema
    if not issubclass(model, Derived):
        return set(held.names) == set(wanted.names)
    if base := base_of(path):
        is_layer = held.names[-1] == GONE
        held = held.remove(len(held) - 1)
        if not is_layer or not base.exists() or not _fits(base, model):
            return False
    return bool(held.names == wanted.names and held.types == wanted.types)
