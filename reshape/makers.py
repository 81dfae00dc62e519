"""Makers: which transform, by the code it had, made a row of what a payload says."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from django.db import models

from .models import Derived, SourceState
from .records import records_dir
from .registry import Transform, all_transforms
from .sql import duck, quoted


def makers_of(model: type[models.Model], feeds: Mapping[UUID, str]) -> dict[UUID, str]:
    """The transform, as NAME@FINGERPRINT, that made a model's row of each of these fetches.

    `feeds` names each fetch's feed. The fingerprint is that of the code whose rows are loaded. A
    fetch is left out where that is not known: its rows were never loaded, or several transforms
    made such rows of it; of a model that all sources share, where several read its feed.
    """
    labels: dict[str, list[str]] = {}
    loaded: dict[str, dict[str, str]] = {}
    for feed in sorted(set(feeds.values())):
        transforms = [each for each in all_transforms() if each.feed == feed]
        for source in {each.source for each in transforms} - loaded.keys():
            state = SourceState.objects.filter(source=source).first()
            loaded[source] = dict(state.fingerprints) if state else {}
        labels[feed] = list(_labels(model, transforms, loaded))
    found = {
        fetch_id: labels[feed][0] for fetch_id, feed in feeds.items() if len(labels[feed]) == 1
    }
    if issubclass(model, Derived):
        for feed, several in labels.items():
            if len(several) > 1:
                wanted = [fetch_id for fetch_id, each in feeds.items() if each == feed]
                found |= _by_records(model, several, wanted)
    return found


def _labels(
    model: type[models.Model],
    transforms: Iterable[Transform],
    loaded: Mapping[str, Mapping[str, str]],
) -> Iterable[str]:
    """The loaded code of those transforms that have made records of the model."""
    for transform in transforms:
        fingerprint = loaded[transform.source].get(transform.name)
        if fingerprint is None:
            continue
        label = f"{transform.name}@{fingerprint}"
        if not issubclass(model, Derived) or records_dir(model._meta.db_table, label).is_dir():
            yield label


def _by_records(
    model: type[models.Model], labels: Iterable[str], fetch_ids: Iterable[UUID]
) -> dict[UUID, str]:
    """Ask the record files themselves, of transforms that read one feed and make one model."""
    wanted = {str(fetch_id): fetch_id for fetch_id in fetch_ids}
    found: dict[UUID, str] = {}
    several: set[UUID] = set()
    with duck() as connection:
        for label in labels:
            files = records_dir(model._meta.db_table, label) / "*.parquet"
            rows = connection.execute(
                f"SELECT DISTINCT fetch_id FROM read_parquet({quoted(str(files))}) "
                "WHERE fetch_id IN (SELECT unnest($1::VARCHAR[]))",
                [list(wanted)],
            ).fetchall()
            made = {wanted[fetch_id]: label for (fetch_id,) in rows}
            several |= found.keys() & made.keys()
            found |= made
    return {fetch_id: label for fetch_id, label in found.items() if fetch_id not in several}
