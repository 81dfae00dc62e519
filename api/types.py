"""The GraphQL types of the entities: columns as scalars, relations both ways, lineage.

A source's own type (`schema.py`) takes the place of the generated one, or adds to it;
either way its lists are pages and its rows have a payload.
"""

from typing import Any

import strawberry
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry_django.fields.field import StrawberryDjangoField

from .catalog import Catalog, Entity, Relation
from .comments import own_docstring
from .lineage import Payload, RollupBuild, resolve_build, resolve_payload
from .meanings import (
    Built,
    ColumnValue,
    Lineage,
    LinkedCount,
    LinkedRow,
    LinkedRows,
    RowByKey,
    RowCount,
    Rows,
    meaning_of,
    note,
)
from .names import field_name
from .pages import Pagination
from .resolve import Resolver, Resolvers


class TypeMaker:
    """Makes the types of a catalog's entities, which refer to each other by name.

    `namespace` is what the names are looked up in when the schema is complete.
    """

    def __init__(self, catalog: Catalog, resolvers: Resolvers, namespace: dict[str, Any]) -> None:
        self._catalog = catalog
        self._resolvers = resolvers
        self._namespace = namespace

    def generate(self, entity: Entity, module: str) -> type:
        """The type of an entity that no source wrote itself."""
        fields = {field.python_name: field for field in self.fields(entity)}
        made = type(entity.names.type, (), {**fields, "__module__": module})
        return strawberry.type(made, name=entity.names.type, description=entity.description or None)

    def complete(self, entity: Entity, written: Any) -> None:
        """Give a type that a source wrote what every type has.

        Its relations are resolved like generated ones; a type declared with `extend=True`
        gets every generated field that it does not define, any other one only `payload`.
        """
        definition = written.__strawberry_definition__
        generated = {field.graphql_name: field for field in self.fields(entity)}
        kept = [_own_or_generated(field, generated) for field in definition.fields]
        defined = {_graphql_name(field) for field in kept}
        missing = generated.values() if definition.extend else [generated.get("payload")]
        definition.fields = kept + [
            field for field in missing if field and field.graphql_name not in defined
        ]
        definition.extend = False
        doc = own_docstring(written)
        definition.description = definition.description or doc or entity.description or None

    def fields(self, entity: Entity) -> list[StrawberryField]:
        """Every field of an entity's generated type."""
        made = [
            self.field(
                column.name,
                column.scalar | None if column.is_nullable else column.scalar,
                description=column.description,
                python_name=column.attname,
                meaning=ColumnValue(column),
            )
            for column in entity.columns
        ]
        for relation in entity.relations:
            made += self.relation(relation)
        if entity.has_lineage:
            made.append(
                self.field(
                    "payload",
                    Payload | None,
                    resolve_payload,
                    description="The response that this row comes from.",
                    meaning=Lineage(),
                )
            )
        if entity.is_rollup and "build" not in {field.graphql_name for field in made}:
            made.append(
                self.field(
                    "build",
                    RollupBuild,
                    resolve_build,
                    description="What this row was computed of, and when.",
                    meaning=Built(),
                )
            )
        return made

    def roots(self, entity: Entity) -> list[StrawberryField]:
        """The fields of `Query` that lead to an entity: many, count, and one by key."""
        names = entity.names
        made = [
            self.field(
                names.many,
                f"list[{names.type}]",
                self._resolvers.many(entity),
                self.list_arguments(entity),
                description=entity.description or None,
                meaning=Rows(entity),
            ),
            self.field(
                names.count,
                int,
                self._resolvers.count(entity),
                self.list_arguments(entity)[:1],
                description=f"How many {names.many} there are.",
                meaning=RowCount(entity),
            ),
        ]
        if names.one:
            keys = [entity.column(attname) for attname in entity.key]
            made.append(
                self.field(
                    names.one,
                    f"{names.type} | None",
                    self._resolvers.one(entity),
                    [self.argument(key.attname, key.scalar, name=key.name) for key in keys],
                    description=f"The one with this {' and '.join(key.name for key in keys)}.",
                    meaning=RowByKey(entity),
                )
            )
        return made

    def relation(self, relation: Relation) -> list[StrawberryField]:
        """A relation's field; for a list its count too."""
        target = self._catalog[relation.target]
        if not relation.is_list:
            # A foreign key's target always exists: a row without it is held, not loaded.
            name = f"{target.names.type} | None" if relation.is_nullable else target.names.type
            resolver = self._resolvers.to_one(relation)
            return [
                self.field(
                    relation.name,
                    name,
                    resolver,
                    description=relation.description,
                    meaning=LinkedRow(relation),
                )
            ]
        arguments = self.list_arguments(target)
        return [
            self.field(
                relation.name,
                f"list[{target.names.type}]",
                self._resolvers.to_many(relation),
                arguments,
                description=relation.description,
                meaning=LinkedRows(relation),
            ),
            self.field(
                f"{relation.name}Count",
                int,
                self._resolvers.to_count(relation),
                arguments[:1],
                meaning=LinkedCount(relation),
            ),
        ]

    def offer(self, name: str, kind: type) -> None:
        """Let fields name a type that is made outside this module."""
        self._namespace[name] = kind

    def list_arguments(self, entity: Entity) -> list[StrawberryArgument]:
        """The arguments of a field that gives a list of an entity's rows."""
        return [
            self.argument("filters", f"{entity.names.filter} | None"),
            self.argument("order", f"list[{entity.names.order}] | None"),
            self.argument("pagination", Pagination | None),
        ]

    def argument(
        self, python_name: str, kind: Any, name: str | None = None, default: Any = UNSET
    ) -> StrawberryArgument:
        """An argument of a field; types may be named."""
        annotation = StrawberryAnnotation(kind, namespace=self._namespace)
        return StrawberryArgument(python_name, name, annotation, default=default)

    def field(
        self,
        name: str,
        kind: Any,
        resolver: Resolver | None = None,
        arguments: list[StrawberryArgument] | None = None,
        *,
        description: str | None = None,
        python_name: str | None = None,
        meaning: object = None,
    ) -> StrawberryField:
        """A field; its type may be named, and what it means is noted for the compiled path."""
        annotation = StrawberryAnnotation(kind, namespace=self._namespace)
        made = StrawberryField(
            python_name=python_name or f"field_{name}",
            graphql_name=name,
            type_annotation=annotation,
            description=description,
            metadata=note(meaning),
        )
        if resolver:
            made(resolver)
            made.arguments = arguments or []
        return made


def _graphql_name(field: StrawberryField) -> str:
    return field.graphql_name or field_name(field.python_name)


def _own_or_generated(
    field: StrawberryField, generated: dict[str | None, StrawberryField]
) -> StrawberryField:
    """The field as its author wrote it, but one that is only named as the program resolves it."""
    if not isinstance(field, StrawberryDjangoField) or field.base_resolver is not None:
        return field
    made = generated.get(_graphql_name(field))
    if made is None or not (getattr(field, "is_relation", False) or _is_same_column(field, made)):
        return field
    made.description = field.description or made.description
    return made


def _is_same_column(field: StrawberryDjangoField, made: StrawberryField) -> bool:
    """Whether a written field names a column and says nothing of its own about it."""
    return (
        isinstance(meaning_of(made), ColumnValue)
        and (field.django_name or field.python_name) == made.python_name
        and field.type == made.type
        and not field.extensions
        and not field.store
    )
