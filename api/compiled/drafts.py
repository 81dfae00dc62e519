"""The statements that a plan is made of, each reading the rows of one level at once.

A level below the first reads the rows that the keys of the level above lead to. The keys
are one parameter, whatever their number: a JSON array for SQLite, an array for PostgreSQL.
"""

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, Count, Expression, F, Value, Window
from django.db.models.functions import RowNumber

from ..catalog import Catalog, Entity, Relation
from ..orders import order_by
from .arguments import Asked
from .statements import Draft, Hole, Rows, Statement

_POSITION = "rootcellar_position"


def _page(rows: Rows) -> Draft:
    return Draft(rows=rows, tail=" LIMIT %s OFFSET %s", holes=(Hole.LIMIT, Hole.OFFSET))


def page(entity: Entity, catalog: Catalog, reads: Sequence[str]) -> Statement:
    """A page of an entity's rows."""

    def draft(rows: Rows, asked: Asked) -> Draft:
        ordered = rows.order_by(*order_by(entity, catalog, asked.order))
        return _page(ordered.values_list(*reads))

    return Statement(entity, catalog, draft)


def row(entity: Entity, catalog: Catalog, reads: Sequence[str]) -> Statement:
    """One row."""
    return Statement(
        entity,
        catalog,
        lambda rows, _: Draft(rows=rows.order_by().values_list(*reads), tail=" LIMIT 1"),
    )


def count(entity: Entity, catalog: Catalog) -> Statement:
    """How many rows there are."""

    def draft(rows: Rows, _: Asked) -> Draft:
        # A constant to group by is nothing to group by: one group, even of no rows.
        whole = rows.order_by().annotate(rootcellar_all=Value(1)).values("rootcellar_all")
        counted = whole.annotate(rootcellar_count=Count("*"))
        return Draft(rows=counted.values_list("rootcellar_count"))

    return Statement(entity, catalog, draft)


def capped_count(entity: Entity, catalog: Catalog) -> Statement:
    """How many rows there are, up to the limit."""
    return Statement(
        entity,
        catalog,
        lambda rows, _: Draft(
            rows=rows.order_by().values_list(entity.key[0]),
            head="SELECT COUNT(*) FROM (",
            tail=" LIMIT %s) part",
            holes=(Hole.LIMIT,),
        ),
    )


def linked_rows(catalog: Catalog, relation: Relation, reads: Sequence[str]) -> Statement:
    """The one row that each key leads to."""
    return Statement(
        catalog[relation.target],
        catalog,
        lambda rows, _: Draft(
            rows=rows.filter(_Among(F(relation.back))).order_by().values_list(*reads)
        ),
    )


def linked_page(catalog: Catalog, relation: Relation, reads: Sequence[str]) -> Statement:
    """A page of the rows that one key leads to, which an index finds in their order."""
    target = catalog[relation.target]

    def draft(rows: Rows, asked: Asked) -> Draft:
        chosen = rows.filter(_Is(F(relation.back)))
        ordered = chosen.order_by(*order_by(target, catalog, asked.order))
        return _page(ordered.values_list(*reads))

    return Statement(target, catalog, draft)


def linked_pages(catalog: Catalog, relation: Relation, reads: Sequence[str]) -> Statement:
    """A page of the rows that each key leads to, with the position on it as the last column."""
    target = catalog[relation.target]

    def draft(rows: Rows, asked: Asked) -> Draft:
        position = Window(
            RowNumber(),
            partition_by=[F(relation.back)],
            order_by=order_by(target, catalog, asked.order),
        )
        chosen = rows.filter(_Among(F(relation.back))).annotate(**{_POSITION: position})
        return Draft(
            rows=chosen.order_by().values_list(*reads, _POSITION),
            head="SELECT * FROM (",
            tail=f") page WHERE {_POSITION} > %s AND {_POSITION} <= %s "
            f"ORDER BY {_POSITION} LIMIT %s",
            holes=(Hole.OFFSET, Hole.LAST, Hole.READABLE),
        )

    return Statement(target, catalog, draft)


def linked_lists(catalog: Catalog, relation: Relation, reads: Sequence[str]) -> Statement:
    """All rows that each key leads to, those of each list in their order."""
    target = catalog[relation.target]

    def draft(rows: Rows, asked: Asked) -> Draft:
        chosen = rows.filter(_Among(F(relation.back)))
        ordered = chosen.order_by(*order_by(target, catalog, asked.order))
        return Draft(rows=ordered.values_list(*reads))

    return Statement(target, catalog, draft)


def linked_counts(catalog: Catalog, relation: Relation) -> Statement:
    """Each key with the number of rows that it leads to; keys without any are left out."""

    def draft(rows: Rows, _: Asked) -> Draft:
        keyed = rows.filter(_Among(F(relation.back))).order_by().values_list(relation.back)
        return Draft(rows=keyed.annotate(rootcellar_count=Count("*")))

    return Statement(catalog[relation.target], catalog, draft)


class _ComparedWithHole(Expression):
    """A column compared with a parameter that is not known yet."""

    conditional = True
    output_field = BooleanField()
    hole: Hole
    sqlite: str
    postgresql: str

    def __init__(self, column: F) -> None:
        super().__init__()
        self.column: Any = column

    def get_source_expressions(self) -> list[Any]:
        return [self.column]

    def set_source_expressions(self, expressions: Sequence[Any]) -> None:
        (self.column,) = expressions

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        column, params = compiler.compile(self.column)
        template = self.postgresql if connection.vendor == "postgresql" else self.sqlite
        return template.format(column), (*params, self.hole)


class _Among(_ComparedWithHole):
    hole = Hole.KEYS
    sqlite = "{} IN (SELECT value FROM json_each(%s))"
    postgresql = "{} = ANY(%s)"


class _Is(_ComparedWithHole):
    hole = Hole.KEY
    sqlite = postgresql = "{} = %s"
