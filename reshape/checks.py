"""System checks: what a derived model or a transform must not be, said before a replay meets it."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db import models

from raw_store import feeds
from raw_store.errors import closest_first

from .columns import FieldUnsupported, columns_of
from .merge_checks import check_lists, check_merging
from .models import Derived, derived_models
from .registry import all_transforms
from .sql_discovery import problems

_PURE_DEFAULTS = (dict, list, str, int, float, bool)


def check_derived_models(
    *, app_configs: Sequence[AppConfig] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """reshape.E001 to E005, E007 and W001: the models."""
    labels = None if app_configs is None else {config.label for config in app_configs}
    return [
        message
        for model in derived_models()
        if labels is None or model._meta.app_label in labels
        for message in _check_model(model)
    ]


def check_transforms(**_: Any) -> list[checks.CheckMessage]:
    """reshape.E006: every transform reads a declared feed."""
    known = [feed.name for feed in feeds.all_feeds()]
    return [
        checks.Error(
            f"Transform {transform.name} reads feed {transform.feed!r}, which no extractor "
            f"declares.",
            hint=f"Declare it with @extractor, or correct the name. "
            f"Known feeds, closest first: {', '.join(closest_first(transform.feed, known)[:5])}.",
            obj=transform.function,
            id="reshape.E006",
        )
        for transform in all_transforms()
        if transform.feed not in known
    ]


def check_sql_transforms(**_: Any) -> list[checks.CheckMessage]:
    """reshape.E009: every SQL file below a source's `transforms` is a transform."""
    return [checks.Error(str(problem), id="reshape.E009") for problem in problems()]


def _check_model(model: type[Derived]) -> Iterator[checks.CheckMessage]:
    if model._meta.auto_field is not None:
        yield checks.Error(
            f"{model._meta.label} has a primary key that the database counts up.",
            hint="Make the id that the source itself uses the primary key: primary_key=True on a "
            "field, or pk = models.CompositePrimaryKey(…).",
            obj=model,
            id="reshape.E001",
        )
        return
    try:
        columns_of(model)
    except FieldUnsupported as error:
        yield checks.Error(str(error), obj=model, id="reshape.E002")
        return
    yield from check_lists(model)
    yield from check_merging(model)
    yield from _check_uniqueness(model)
    for field in model._meta.concrete_fields:
        yield from _check_field(model, field)


def _check_uniqueness(model: type[Derived]) -> Iterator[checks.CheckMessage]:
    unique = [
        field.name
        for field in model._meta.concrete_fields
        if field.unique and not field.primary_key
    ]
    constraints = [
        constraint.name
        for constraint in model._meta.constraints
        if isinstance(constraint, models.UniqueConstraint)
    ]
    if unique or constraints or model._meta.unique_together:
        yield checks.Error(
            f"{model._meta.label} asks for more that is unique than its primary key "
            f"({', '.join([*unique, *constraints]) or 'unique_together'}).",
            hint="Only the natural key is unique by construction; two payloads may disagree about "
            "anything else, and the whole load would fail. Use db_index=True instead.",
            obj=model,
            id="reshape.E003",
        )


def _check_field(
    model: type[Derived], field: "models.Field[Any, Any]"
) -> Iterator[checks.CheckMessage]:
    if isinstance(field, models.ForeignKey):
        target = field.target_field.model
        if not issubclass(target, Derived):
            yield checks.Error(
                f"{model._meta.label}.{field.name} links to {target._meta.label}, which is not a "
                f"derived model: no replay makes its rows.",
                hint="Keep the other table's key in an ordinary field.",
                obj=model,
                id="reshape.E004",
            )
    default = field.default
    if callable(default) and default is not models.NOT_PROVIDED and default not in _PURE_DEFAULTS:
        yield checks.Error(
            f"{model._meta.label}.{field.name} has a default computed when the row is made.",
            hint="A replay must give the same row tomorrow: use a constant, or give the value in "
            "the transform (its now is payload.fetched_at).",
            obj=model,
            id="reshape.E005",
        )
    is_sqlite = settings.DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
    if is_sqlite and isinstance(field, models.DecimalField) and (field.max_digits or 0) > 15:
        yield checks.Warning(
            f"{model._meta.label}.{field.name} holds {field.max_digits} digits; SQLite keeps 15.",
            hint="Use PostgreSQL, a field of at most 15 digits, or text.",
            obj=model,
            id="reshape.W001",
        )
