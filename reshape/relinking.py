"""Relinking: when the keys of one source change, the sources that rest on it are linked again.

What they held may have its target now, and what they had may have lost it. All of them are
loaded in one transaction with the source that changed, so no link ever leads nowhere.

One of which more is in quarantine than its feeds allow is not loaded so either: its rows stay as
they were, but for those whose target is gone. So do the rows of one whose changed code waits.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from django.db import models

from raw_store.archive import Archive

from .columns import columns_of
from .copies import present_copy
from .difference import is_shared
from .last_load import keep_loaded
from .layers import rows_to_compare
from .limits import advice, exceeded
from .link import Linked
from .models import QuarantineEntry, SourceState, derived_models
from .neighbours import dependents, targets_elsewhere
from .parse import Parsed
from .registry import transforms_of
from .replay import Derivation, derive, discard
from .sql import duck, quoted_name

logger = logging.getLogger(__name__)


def relink(
    derivation: Derivation,
    archive: Archive,
    *,
    always: bool = False,
    waits: Callable[[str], bool] = lambda source: False,
) -> list[Derivation]:
    """Derive the sources that rest on the derived one, directly or through others, in order.

    A source whose targets keep their keys is left alone, unless `always`. Of one that `waits`
    nothing is derived: it only loses the rows whose target is gone.
    """
    found: list[Derivation] = []
    targets = _rows_of(derivation)
    for source in dependents(derivation.linked.source):
        below = [model for model in targets_elsewhere(source) if model in targets]
        if not below or not transforms_of(source):
            continue
        if waits(source):
            kept = _kept(source, targets)
            if kept is not None:
                found.append(kept)
                targets |= _rows_of(kept)
        elif always or any(_keys_differ(model, targets[model]) for model in below):
            derived = derive(source, archive, targets=targets)
            if exceeded(derived.linked.measures):
                derived = _withheld(derived, targets)
            found.append(derived)
            targets |= _rows_of(derived)
    return found


def _withheld(derivation: Derivation, targets: dict[type[models.Model], Path]) -> Derivation:
    """The rows of a source as they were loaded, where they have their targets, and what is in
    quarantine now."""
    linked = derivation.linked
    kept = keep_loaded(linked, targets)
    discard(derivation)
    why = advice(linked.source, linked.measures)
    logger.error("%s", why)
    return replace(derivation, linked=kept, limit_exceeded=why, is_kept=True)


def _kept(source: str, targets: dict[type[models.Model], Path]) -> Derivation | None:
    """The rows of a source as they were loaded, where they have their targets; None where all do.

    Its quarantine and the state of its code stay what they were.
    """
    state = SourceState.objects.get(source=source)
    rejected = QuarantineEntry.objects.filter(source=source, ordinal__gte=0).count()
    loaded = Linked(source=source, copies={}, row_counts={}, rejected_count=rejected)
    kept = keep_loaded(loaded, targets)
    derivation = Derivation(
        parsed=Parsed(),
        linked=kept,
        fingerprints={},
        limit_exceeded=state.limit_exceeded,
        is_kept=True,
    )
    if all(
        model._default_manager.count() == kept.row_counts[model._meta.db_table]
        for model in derived_models(source)
    ):
        discard(derivation)
        return None
    return derivation


def damage(derivations: Iterable[Derivation]) -> list[str]:
    """The segments of these sources that could not be read, and why.

    Where one is, no row of any of them is removed: a row that stays because its own source
    cannot be read in full may link to it.
    """
    return sorted({problem for each in derivations for problem in each.damaged})


def _rows_of(derivation: Derivation) -> dict[type[models.Model], Path]:
    copies = derivation.linked.copies
    return {model: path for model, path in copies.items() if not is_shared(model)}


def _keys_differ(model: type[models.Model], path: Path) -> bool:
    """Whether the rows of a file have other keys than the table as last loaded."""
    present = present_copy(model)
    if present is None:
        return True
    key = ", ".join(quoted_name(name) for name in columns_of(model).key)
    one, other = (
        f"SELECT {key} FROM ({rows})" for rows in rows_to_compare(present, path, columns_of(model))
    )
    with duck() as duckdb:
        found = duckdb.execute(
            f"SELECT 1 FROM (({one} EXCEPT {other}) UNION ALL ({other} EXCEPT {one})) LIMIT 1"
        ).fetchall()
    return bool(found)
