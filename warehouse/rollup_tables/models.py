"""One Django model per rollup, so that GraphQL joins rollups in plain SQL.

No migration knows them: `MIGRATION_MODULES` switches migrations off for this app, and
`warehouse.tables` creates their tables. `managed = False` would not do: Django's
`makemigrations` writes migrations for unmanaged models even where an app has none.
"""

import hashlib
import re
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from warehouse.columns import ROW_ID, django_field, is_filterable

if TYPE_CHECKING:
    from warehouse.discovery import Rollup

APP_LABEL = "rollups"
ROW_ID_LENGTH = 32
_RESERVED = frozenset({"pk", "objects", "rollup"})


def make_model(rollup: "Rollup") -> type[models.Model]:
    """Return the rollup's model, registered in the app `rollups`; making it again returns it.

    The primary key is `row_id`. A column has an index when it is in the rollup's key, or is
    grouped by: neither a float, nor JSON, nor computed by an aggregate. Those are what
    people filter and order by; an index on every count would only slow the load. The key
    as a whole has a unique index. A linked column is a foreign key.
    """
    name = "".join(part.capitalize() for part in rollup.name.split("_"))
    if name.lower() in apps.all_models[APP_LABEL]:
        return apps.get_model(APP_LABEL, name)
    # Fields stand in the order in which they are made.
    fields: dict[str, object] = {
        ROW_ID: models.CharField(primary_key=True, max_length=ROW_ID_LENGTH)
    }
    links = dict(rollup.links)
    for column, kind in rollup.columns:
        if column in links:
            found = _link(rollup, column, links[column], django_field(kind))
            fields[_link_name(rollup, column)] = found
        else:
            fields[column] = django_field(kind)
    attributes: dict[str, object] = dict(fields)
    attributes["Meta"] = type(
        "Meta",
        (),
        {
            "app_label": APP_LABEL,
            "db_table": rollup.name,
            "verbose_name": rollup.name.replace("_", " "),
            "verbose_name_plural": rollup.name.replace("_", " "),
            "indexes": [
                models.Index(
                    fields=[_link_name(rollup, column) if column in links else column],
                    name=_index_name(rollup.name, column),
                )
                for column in indexed_columns(rollup)
            ],
        },
    )
    attributes["__module__"] = __name__
    attributes["__doc__"] = rollup.description
    attributes["rollup"] = rollup
    return type(name, (models.Model,), attributes)


def indexed_columns(rollup: "Rollup") -> list[str]:
    """The columns that get an index of their own; see `make_model`."""
    # The index of the whole key serves for its first column.
    led = unique_columns(rollup)[:1]
    return [
        name
        for name, kind in rollup.columns
        if is_filterable(kind)
        and name not in led
        and (name in rollup.key or name not in rollup.measures)
    ]


def unique_columns(rollup: "Rollup") -> list[str]:
    """The columns of the index that holds a key to one row; none where a key has none."""
    kinds = dict(rollup.columns)
    is_indexable = all(is_filterable(kinds[name]) for name in rollup.key)
    return list(rollup.key) if is_indexable else []


class Link(models.ForeignKey):  # type: ignore[type-arg]  # Django's own takes none
    """A column of a rollup whose values are a model's key.

    It is stored as the rollup gives it: without a constraint, for a rollup is computed before
    its model is loaded, and a row may be of something that is gone.
    """

    def __init__(
        self,
        to: Any,
        on_delete: Any = models.DO_NOTHING,
        *,
        stored: "models.Field[Any, Any]",
        **how: Any,
    ) -> None:
        how |= {"db_constraint": False, "db_index": False, "null": True}
        super().__init__(to, on_delete, **how)
        self.stored = stored

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "stored": self.stored}

    def get_attname(self) -> str:
        return str(self.db_column)

    def get_internal_type(self) -> str:
        return "ForeignKey"

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return self.stored.db_type(connection)


def _link(rollup: "Rollup", column: str, target: str, stored: "models.Field[Any, Any]") -> Link:
    same = [each for each, label in rollup.links if label == target]
    back = rollup.name if len(same) == 1 else f"{rollup.name}_by_{column.removesuffix('_id')}"
    meta = apps.get_model(target)._meta
    # Forward fields alone: asking for what leads back would fix that before it is known.
    if back in {field.name for field in (*meta.fields, *meta.many_to_many)}:
        back = f"{back}_rollup"
    return Link(target, stored=stored, db_column=column, related_name=back)


def _link_name(rollup: "Rollup", column: str) -> str:
    """What the row that a column leads to is called: `station` for `station_id`."""
    target = dict(rollup.links)[column].rpartition(".")[2]
    names = [name for name, _ in rollup.columns]
    short = column.removesuffix("_id")
    taken = {*names, *(_RESERVED), ROW_ID}
    if short != column and short not in taken:
        return short
    linked = [each for each, label in rollup.links if label.rpartition(".")[2] == target]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", target).lower()
    return snake if len(linked) == 1 and snake not in taken else f"{column}_row"


def _index_name(table: str, column: str) -> str:
    return f"rollup_{hashlib.sha256(f'{table}.{column}'.encode()).hexdigest()[:16]}"
