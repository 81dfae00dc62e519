"""One Django model per rollup, so that GraphQL joins rollups in plain SQL.

No migration knows them: `MIGRATION_MODULES` switches migrations off for this app, and
`warehouse.tables` creates their tables. `managed = False` would not do: Django's
`makemigrations` writes migrations for unmanaged models even where an app has none.
"""

import hashlib

from django.apps import apps
from django.db import models

from warehouse.columns import django_field, is_filterable
from warehouse.discovery import ROW_ID, Rollup

APP_LABEL = "rollups"
ROW_ID_LENGTH = 32


def make_model(rollup: Rollup) -> type[models.Model]:
    """Return the rollup's model, registered in the app `rollups`; making it again returns it.

    The primary key is `row_id`. A column has an index when it is in the rollup's key, or is
    grouped by: neither a float, nor JSON, nor computed by an aggregate. Those are what
    people filter and order by; an index on every count would only slow the load.
    """
    name = "".join(part.capitalize() for part in rollup.name.split("_"))
    if name.lower() in apps.all_models[APP_LABEL]:
        return apps.get_model(APP_LABEL, name)
    attributes: dict[str, object] = {
        ROW_ID: models.CharField(primary_key=True, max_length=ROW_ID_LENGTH),
        **{column: django_field(kind) for column, kind in rollup.columns},
    }
    attributes["Meta"] = type(
        "Meta",
        (),
        {
            "app_label": APP_LABEL,
            "db_table": rollup.name,
            "verbose_name": rollup.name.replace("_", " "),
            "verbose_name_plural": rollup.name.replace("_", " "),
            "indexes": [
                models.Index(fields=[column], name=_index_name(rollup.name, column))
                for column in indexed_columns(rollup)
            ],
        },
    )
    attributes["__module__"] = __name__
    attributes["__doc__"] = rollup.description
    attributes["rollup"] = rollup
    return type(name, (models.Model,), attributes)


def indexed_columns(rollup: Rollup) -> list[str]:
    """The columns that get an index; see `make_model`."""
    return [
        name
        for name, kind in rollup.columns
        if is_filterable(kind) and (name in rollup.key or name not in rollup.measures)
    ]


def _index_name(table: str, column: str) -> str:
    return f"rollup_{hashlib.sha256(f'{table}.{column}'.encode()).hexdigest()[:16]}"
