"""The rollups of the installed sources, and their Django models.

They are found once, when Django has loaded all apps (`WarehouseConfig.ready`). A broken file
stops neither the program nor the other rollups: `manage.py check` reports it as
`warehouse.E001`, a malformed header as `warehouse.E002`, and a build refuses to start.
"""

from collections.abc import Iterable
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import models

from .columns import duckdb_columns
from .discovery import Rollup, discover
from .errors import HeaderInvalid, RollupInvalid
from .links import targets_of
from .rollup_tables.models import make_model

_SPAN = {"valid_from": "TIMESTAMP WITH TIME ZONE", "valid_to": "TIMESTAMP WITH TIME ZONE"}

SHARED = "rollups"
"""What rollups that belong to no single source have for a source: `sources/rollups/*.sql`."""

_rollups: list[Rollup] = []
_models: dict[str, type[models.Model]] = {}
_problems: list[RollupInvalid] = []


def rollups(source: str | None = None) -> list[Rollup]:
    """Every rollup, or those of one source, each after the rollups it reads."""
    return [rollup for rollup in _rollups if source in (None, rollup.source)]


def rollup_models() -> list[type[models.Model]]:
    """One model per rollup, in the order of `rollups()`; `model.rollup` is the rollup."""
    return [_models[rollup.name] for rollup in _rollups]


def rollup_model(name: str) -> type[models.Model]:
    """The model of one rollup. Raises `KeyError`."""
    return _models[name]


def problems() -> list[RollupInvalid]:
    """What is wrong with the sources' rollup files, one error for each."""
    return list(_problems)


def source_models() -> list[type[models.Model]]:
    """The models whose rows come from the archive: those of the sources' apps, by table."""
    labels = {apps.get_app_config(label).label for label in _source_labels()}
    found = [
        model
        for model in apps.get_models()
        if model._meta.app_label in labels
        and model._meta.managed
        and any(field.column == "fetch_id" for field in model._meta.concrete_fields)
    ]
    return sorted(found, key=lambda model: model._meta.db_table)


def source_tables() -> dict[str, dict[str, str]]:
    """The tables of the models and of their histories: name to columns and DuckDB types."""
    found = source_models()
    tables = {model._meta.db_table: duckdb_columns(model) for model in found}
    for model in found:
        # A model says so itself; see `reshape.models.Derived`.
        if getattr(model, "keep_history", False):
            tables[history_table(model)] = duckdb_columns(model) | _SPAN
    return tables


def history_table(model: type[models.Model]) -> str:
    """The view of every state that the model's rows have had."""
    return f"{model._meta.db_table}_history"


def find_rollups() -> None:
    """Discover the installed sources' rollups and make their models."""
    found, wrong = discover(_files(), source_tables(), _taken_tables(), targets_of(source_models()))
    _rollups[:] = found
    _problems[:] = wrong
    _models.clear()
    _models.update((rollup.name, make_model(rollup)) for rollup in found)


def check_rollups(**_: object) -> list[checks.CheckMessage]:
    """The system check: every rollup file is usable, and says what it seems to say."""
    found: list[checks.CheckMessage] = []
    for problem in _problems:
        if isinstance(problem, HeaderInvalid):
            found.append(checks.Error(str(problem), id="warehouse.E002"))
        else:
            found.append(checks.Error(str(problem), id="warehouse.E001"))
    for rollup in _rollups:
        found += [
            checks.Warning(
                f"Rollup {rollup.path}: the line {line} and is taken for a part of its "
                "description. Correct the header's name, or word the line otherwise.",
                id="warehouse.W001",
            )
            for line in rollup.misspelt
        ]
    return found


def _files() -> Iterable[tuple[str, Path]]:
    """The files of each source, then those that stand between the sources of one folder."""
    between: dict[Path, None] = {}
    for label in _source_labels():
        config = apps.get_app_config(label)
        folder = Path(config.path)
        if "." in config.name:
            between[folder.parent / "rollups"] = None
        for path in sorted((folder / "rollups").glob("*.sql")):
            yield label, path
    for folder in between:
        for path in sorted(folder.glob("*.sql")):
            yield SHARED, path


def _source_labels() -> list[str]:
    names = set(settings.SOURCE_APPS)
    return sorted(
        config.label
        for config in apps.get_app_configs()
        if config.name in names or f"{type(config).__module__}.{type(config).__name__}" in names
    )


def _taken_tables() -> set[str]:
    """The tables of Django and of the engine, which a rollup's table must not replace."""
    return {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label != "rollups"
    } | {"django_migrations"}
