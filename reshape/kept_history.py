"""The histories that builds show: a Parquet file per model that asks for one (`keep_history`).

    warehouse/models/TABLE_history/CODE-ARCHIVE.parquet

A history is a function of the transforms and the archive, and its name has the digests of both:
where the file is there, nothing is computed. In the background it is renewed once in a while,
for every payload makes another one.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
from django.conf import settings
from django.utils import timezone

from raw_store import feeds
from raw_store.archive import Archive

from .history import write_history
from .inputs import declared
from .models import Derived, ModelState, derived_models
from .parse import label_of
from .records import BORROWED, parsed_segments
from .registry import transforms_of

RENEW_EVERY = timedelta(hours=1)
"""How long a history may lag behind the archive where nobody asks for a replay."""
_FORMAT = 2
"""Part of every digest: raised when states are found in another way."""


def renew_histories(
    models: Iterable[type[Derived]], archive: Archive, *, at_once: bool
) -> set[str]:
    """Make the kept histories of these models those of the archive; return the tables renewed.

    Unless `at_once`, one that the present code made within `RENEW_EVERY` stays as it is.
    """
    renewed = set()
    now = timezone.now()
    for model in models:
        if not model.keep_history:
            continue
        table = table_of(model)
        code, segments = _code_digest(model), _archive_digest(model, archive)
        path = Path(settings.WAREHOUSE_DIR) / "models" / table / f"{code}-{segments}.parquet"
        copy_path = str(path.relative_to(settings.WAREHOUSE_DIR))
        present = ModelState.objects.filter(table=table).first()
        if present and (Path(settings.WAREHOUSE_DIR) / present.copy_path).exists():
            is_fresh = f"/{code}-" in present.copy_path and now - present.changed_at < RENEW_EVERY
            if present.copy_path == copy_path or (is_fresh and not at_once):
                continue
        if not path.exists():
            write_history(model, path, archive=archive)
        ModelState.objects.update_or_create(
            table=table,
            defaults={
                "source": model._meta.app_label,
                "copy_path": copy_path,
                "row_count": pq.read_metadata(path).num_rows,
                "changed_at": now,
            },
        )
        renewed.add(table)
    return renewed


def forget_histories(source: str) -> None:
    """Let no history of the source's models be kept: the next replay makes them anew."""
    tables = [table_of(model) for model in derived_models(source)]
    ModelState.objects.filter(table__in=tables).delete()


def present_histories(models: Iterable[type[Derived]]) -> dict[str, Path]:
    """Table of the history → its file, for the models that keep one and have it here."""
    tables = {table_of(model) for model in models if model.keep_history}
    known = ModelState.objects.filter(table__in=tables).values_list("table", "copy_path")
    found = {table: Path(settings.WAREHOUSE_DIR) / path for table, path in known}
    return {table: path for table, path in found.items() if path.exists()}


def table_of(model: type[Derived]) -> str:
    """The name under which a build shows the model's history."""
    return f"{model._meta.db_table}_history"


def _code_digest(model: type[Derived]) -> str:
    labels = sorted(label_of(transform) for transform in transforms_of(model._meta.app_label))
    modes = [
        feeds.get(transform.feed).current for transform in transforms_of(model._meta.app_label)
    ]
    rules = [declared(each) for each in derived_models(model._meta.app_label)]
    return _digest([_FORMAT, model._meta.db_table, labels, modes, rules])


def _archive_digest(model: type[Derived], archive: Archive) -> str:
    """Of the segments, and of what was parsed apart from them: a retry changes that alone."""
    transforms = transforms_of(model._meta.app_label)
    labels = [label_of(transform) for transform in transforms]
    apart = [
        sorted(name for name in parsed_segments(label) if name.startswith(BORROWED))
        for label in labels
    ]
    segments = [
        [s.name, s.row_count, s.body_bytes, s.complete_runs, s.incomplete_runs]
        for feed in sorted({transform.feed for transform in transforms})
        for s in archive.segments(feed)
    ]
    return _digest([segments, apart])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]
