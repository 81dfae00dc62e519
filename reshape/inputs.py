"""Inputs: everything that the rows of a source are a function of, as one digest.

Two links of equal inputs give equal rows, so a source whose tables were loaded from the inputs
at hand needs no link.
"""

import hashlib
import json

from raw_store import feeds
from raw_store.archive import Archive

from .fingerprint import fingerprint
from .models import Derived, ModelState, derived_models
from .neighbours import targets_elsewhere
from .registry import transforms_of

_RULES = 32
_FACTS = 16
_FORMAT = 2
"""Raised when link itself gives other rows from the same inputs."""


def inputs_of(source: str, archive: Archive) -> str:
    """64 hex digits. The first 32 change with the code of the source's transforms and what is
    declared of its feeds and models, the next 16 with the segments of its feeds, the last 16 with
    the rows of other sources that its own link to. Record files are a function of these, too."""
    transforms = transforms_of(source)
    read = sorted({transform.feed for transform in transforms})
    targets = [model._meta.db_table for model in targets_elsewhere(source)]
    copies = ModelState.objects.filter(table__in=targets).order_by("table")
    rules = [
        _FORMAT,
        [[each.name, each.feed, fingerprint(each)] for each in transforms],
        [[name, feeds.get(name).current, str(feeds.get(name).quarantine_limit)] for name in read],
        [declared(model) for model in derived_models(source)],
    ]
    segments = [sorted(segment.name for segment in archive.segments(name)) for name in read]
    elsewhere = list(copies.values_list("table", "copy_path"))
    return _digest(rules)[:_RULES] + _digest(segments)[:_FACTS] + _digest(elsewhere)[:_FACTS]


def differ_in_facts_alone(inputs: str, others: str) -> bool:
    """Whether both are of the same code and declarations."""
    return inputs[:_RULES] == others[:_RULES]


def have_equal_targets(inputs: str, others: str) -> bool:
    """Whether both link to the same rows of other sources."""
    return inputs[_RULES + _FACTS :] == others[_RULES + _FACTS :]


def _digest(described: object) -> str:
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def declared(model: type[Derived]) -> list[object]:
    """What a model says of how its records become rows."""
    precedence = sorted((column, list(listed)) for column, listed in model.precedence.items())
    return [model._meta.db_table, model.merge, precedence]
