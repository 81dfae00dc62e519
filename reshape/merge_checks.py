"""System checks of what link needs: merging, many-to-many fields, links between sources."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.core import checks
from django.db import models

from raw_store.errors import closest_first

from .columns import FieldUnsupported, columns_of
from .models import Derived, derived_models
from .neighbours import find_cycle, graph_of
from .registry import transforms_of


def check_links_between_sources(**_: Any) -> list[checks.CheckMessage]:
    """reshape.E008: sources do not rest on each other in a circle."""
    cycle = find_cycle(graph_of(derived_models()))
    if not cycle:
        return []
    return [
        checks.Error(
            f"These sources link to each other in a circle: {' → '.join(cycle)}.",
            hint="A source is linked after those it links to. Keep the key of one of the links in "
            "an ordinary field, or put these models into one source.",
            id="reshape.E008",
        )
    ]


def check_lists(model: type[Derived]) -> Iterator[checks.CheckMessage]:
    """reshape.E002: the links of a many-to-many field are rows of a derived model."""
    for field in model._meta.local_many_to_many:
        through, target = field.remote_field.through, field.related_model
        name, to = model.__name__, getattr(target, "__name__", str(target))
        if getattr(field.remote_field, "symmetrical", False):
            yield checks.Error(
                f"{model._meta.label}.{field.name} is symmetrical: each link would be two rows.",
                hint="A row lists the links in one direction: add symmetrical=False.",
                obj=model,
                id="reshape.E002",
            )
        if not isinstance(through, type) or not issubclass(through, Derived):
            yield checks.Error(
                f"{model._meta.label}.{field.name} is a many-to-many field whose links have no "
                f"natural key.",
                hint=f"Declare the links as a derived model and name it: "
                f'{field.name} = models.ManyToManyField({to}, through="{name}{to}"), with '
                f'class {name}{to}(Derived): pk = models.CompositePrimaryKey("{name.lower()}", '
                f'"{to.lower()}") and a ForeignKey for each of the two. '
                f"{name}.row({field.name}=[…]) then makes its rows.",
                obj=model,
                id="reshape.E002",
            )


def check_merging(model: type[Derived]) -> Iterator[checks.CheckMessage]:
    """reshape.E007: records merge in one of the two ways; precedence names what is there."""
    if model.merge not in ("row", "fields"):
        yield _wrong(
            model,
            f"{model._meta.label}.merge is {model.merge!r}.",
            'Write merge = "row" (the newest record is the row) or merge = "fields" (each column '
            "comes from the newest record that gives it). A field of this name needs another one, "
            "with db_column.",
        )
        return
    precedence: object = model.precedence
    if not isinstance(precedence, Mapping):
        yield _wrong(
            model,
            f"{model._meta.label}.precedence is {model.precedence!r}.",
            'Write {"column": ["source.feed", …]}, the most trusted feed first.',
        )
        return
    if model.precedence and model.merge != "fields":
        yield _wrong(
            model,
            f'{model._meta.label} has a precedence, but merge = "row" takes whole records.',
            'Add merge = "fields".',
        )
    try:
        columns = columns_of(model)
    except FieldUnsupported:
        return
    mergeable = sorted(columns.names - set(columns.key))
    feeds = sorted({transform.feed for transform in transforms_of(model._meta.app_label)})
    for column, listed in model.precedence.items():
        if isinstance(listed, str):
            yield _wrong(
                model,
                f"{model._meta.label}.precedence of {column} is the text {listed!r}.",
                f'Write a list of feeds, the most trusted first: ["{listed}", …].',
            )
            continue
        if column not in mergeable:
            yield _wrong(
                model,
                f"{model._meta.label}.precedence names {column!r}, which is no column that merges.",
                f"The closest are: {', '.join(closest_first(column, mergeable)[:3])}.",
            )
        for feed in (name for name in listed if name not in feeds):
            yield _wrong(
                model,
                f"{model._meta.label}.precedence of {column} names the feed {feed!r}, which no "
                f"transform of {model._meta.app_label} reads.",
                f"Feeds it may name, closest first: {', '.join(closest_first(feed, feeds)[:5])}.",
            )


def _wrong(model: type[models.Model], problem: str, hint: str) -> checks.Error:
    return checks.Error(problem, hint=hint, obj=model, id="reshape.E007")
