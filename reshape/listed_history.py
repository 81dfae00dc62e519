"""The states of links that rows list: a many-to-many field given as a list of keys.

As link spreads the list of an owner's row over its through model (`merging.spread_lists`), so each
state of an owner gives a state of every link that it lists. While a transform gives the link as a
row of its own, that row counts instead.
"""

from typing import Any

import duckdb
from django.db import models

from .columns import columns_of
from .lists import list_columns, list_fields, through_of
from .models import Derived, derived_models
from .spans import united
from .sql import duck_type, quoted_name


def owners_of(
    model: type[Derived],
) -> "list[tuple[type[Derived], models.ManyToManyField[Any, Any]]]":
    """The models whose rows list rows of this one, each with the many-to-many field that does."""
    return [
        (owner, field)
        for owner in derived_models(model._meta.app_label)
        for field in list_fields(owner)
        if through_of(field) is model
    ]


def add_listed(
    connection: duckdb.DuckDBPyConnection,
    field: "models.ManyToManyField[Any, Any]",
    of_owner: duckdb.DuckDBPyConnection,
    key: list[str] | None,
) -> None:
    """Add to `states` the links that the owner's `states`, in a connection of their own, list.

    With `key`, that of a row of the through model, only this link.
    """
    owner, target = (quoted_name(column.name) for column in list_columns(field))
    (owner_key,) = columns_of(field.model).key
    said = of_owner.sql(
        f"""
        SELECT {quoted_name(owner_key)} AS {owner}, unnest({quoted_name(field.name)}) AS {target},
               fetch_id, valid_from, valid_to
        FROM states
        """
    )
    connection.register("said", said.to_arrow_reader())
    where = ""
    if key is not None:
        columns = columns_of(through_of(field))
        where = "WHERE " + " AND ".join(
            f"{quoted_name(name)} = $key{at}::{duck_type(columns.schema.field(name).type)}"
            for at, name in enumerate(columns.key)
        )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE listed AS
        SELECT * REPLACE (coalesce(valid_to, 'infinity'::TIMESTAMPTZ) AS valid_to) FROM said {where}
        """,
        {f"key{at}": value for at, value in enumerate(key or [])},
    )
    connection.unregister("said")
    connection.execute(_FREE.format(owner=owner, target=target))
    connection.execute(
        f"""
        INSERT INTO states BY NAME
        SELECT * REPLACE (nullif(valid_to, 'infinity'::TIMESTAMPTZ) AS valid_to)
        FROM ({united("FROM free", f"{owner}, {target}, fetch_id")})
        """
    )


# A link that is never given as a row of its own, as most are, is listed for all of its owner's
# state; of the others, what lies between those rows.
_FREE = """
CREATE OR REPLACE TEMP TABLE free AS
WITH given AS (
    SELECT
        {owner}, {target}, valid_from, coalesce(valid_to, 'infinity'::TIMESTAMPTZ) AS valid_to
    FROM states
),
moments AS (
    SELECT {owner}, {target}, unnest([valid_from, valid_to]) AS moment
    FROM listed SEMI JOIN given USING ({owner}, {target})
    UNION
    SELECT {owner}, {target}, unnest([valid_from, valid_to]) FROM given
),
steps AS (
    SELECT *, lead(moment) OVER (PARTITION BY {owner}, {target} ORDER BY moment) AS ended_at
    FROM moments
)
SELECT {owner}, {target}, fetch_id, valid_from, valid_to
FROM listed ANTI JOIN given USING ({owner}, {target})
UNION ALL
SELECT {owner}, {target}, l.fetch_id, s.moment AS valid_from, s.ended_at AS valid_to
FROM listed AS l JOIN steps AS s USING ({owner}, {target})
WHERE l.valid_from <= s.moment AND s.moment < l.valid_to
    AND NOT EXISTS (
        SELECT 1 FROM given AS g
        WHERE g.{owner} = l.{owner} AND g.{target} = l.{target}
            AND g.valid_from <= s.moment AND s.moment < g.valid_to
    )
"""
