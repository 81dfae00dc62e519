"""What the schema holds, read from the models alone: entities, columns, relations.

The types, filters and orders are made from this, and whatever answers a question
finds here which column or relation a GraphQL field means. Nothing here executes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from django.db import models
from strawberry.scalars import JSON, Base64

from .comments import attribute_docs, own_docstring
from .errors import SchemaError
from .names import Names, field_name, plural, settle, type_name
from .scalars import scalar_of

Model = type[models.Model]

LINEAGE_COLUMN = "fetch_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table, shown as a scalar."""

    name: str
    """The GraphQL name."""
    attname: str
    lookup: str
    """The lookup of its value; a foreign key's goes through to the column it refers to."""
    scalar: Any
    is_nullable: bool
    is_sortable: bool
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A link to one row of another model, or to many."""

    name: str
    """The GraphQL name."""
    target: Model
    is_list: bool
    is_nullable: bool
    own: str
    """The column of this model whose value the target's `back` has."""
    back: str
    """The lookup, on the target, of the value in `own`."""
    lookup: str
    """The lookup, on this model, of the target."""
    description: str | None

    @property
    def attribute(self) -> str:
        """Its name in the input classes, where no column's Python name may clash with it."""
        return f"relation_{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A model or a rollup as GraphQL shows it."""

    model: Model
    source: str | None
    """Null for the program's own models."""
    names: Names
    description: str
    columns: tuple[Column, ...]
    relations: tuple[Relation, ...]
    key: tuple[str, ...]
    """Columns that identify a row: what a list is ordered by in the end."""
    is_rollup: bool

    @property
    def has_lineage(self) -> bool:
        """Whether its rows name the fetch they come from."""
        return any(column.attname == LINEAGE_COLUMN for column in self.columns)

    def column(self, attname: str) -> Column:
        return next(column for column in self.columns if column.attname == attname)


class Catalog:
    """Every entity of the schema, by model."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._entities = {entity.model: entity for entity in entities}
        self._related: dict[Model, tuple[Entity, ...]] = {}

    def __iter__(self) -> Iterator[Entity]:
        return iter(self._entities.values())

    def __getitem__(self, model: Model) -> Entity:
        return self._entities[model]

    def __contains__(self, model: object) -> bool:
        return model in self._entities

    def related_to(self, entity: Entity) -> tuple[Entity, ...]:
        """An entity and whatever its relations lead to, over any number of them."""
        found = self._related.get(entity.model)
        if found is None:
            seen, waiting = {entity.model: entity}, [entity]
            while waiting:
                for relation in waiting.pop().relations:
                    if relation.target not in seen:
                        seen[relation.target] = self[relation.target]
                        waiting.append(self[relation.target])
            found = self._related[entity.model] = tuple(seen.values())
        return found


def make_catalog(
    *,
    derived: Iterable[Model],
    rollups: Iterable[Model],
    own: Mapping[Model, Names],
    hidden: Mapping[Model, Set[str]],
    reserved: Iterable[str],
) -> Catalog:
    """Describe the sources' models, the rollups and the program's own models.

    `hidden` names columns that are not shown. Names that clash are prefixed with the source;
    `reserved` ones are never given away.
    Raises `SchemaError` for what GraphQL cannot show.
    """
    wanted: list[tuple[str | None, Model, Names]] = [
        (None, model, names) for model, names in own.items()
    ]
    wanted += [(model._meta.app_label, model, _model_names(model)) for model in derived]
    wanted += [(model.rollup.source, model, _rollup_names(model)) for model in rollups]  # type: ignore[attr-defined]
    settled = settle(((source, names) for source, _, names in wanted), set(reserved))
    plain = {model: names for _, model, names in wanted}
    return Catalog(
        _entity(model, source, names, plain, hidden.get(model, frozenset()))
        for (source, model, _), names in zip(wanted, settled, strict=True)
    )


def _model_names(model: Model) -> Names:
    meta = model._meta
    one = field_name(model.__name__)
    chosen = str(meta.verbose_name_plural)
    # Django's own default, "fx rates", is no choice of the author's.
    is_default = chosen == f"{meta.verbose_name}s"
    many = plural(one) if is_default else field_name(re.sub(r"\W+", "_", chosen.lower()))
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]*", many):
        many = plural(one)
    return Names(
        type=type_name(model.__name__), many=f"{one}List" if many == one else many, one=one
    )


def _rollup_names(model: Model) -> Names:
    name: str = model.rollup.name  # type: ignore[attr-defined]
    return Names(type=type_name(name), many=field_name(name), one=None)


def _entity(
    model: Model,
    source: str | None,
    names: Names,
    plain: dict[Model, Names],
    hidden: Set[str],
) -> Entity:
    meta = model._meta
    is_rollup = hasattr(model, "rollup")
    key = tuple(field.attname for field in meta.pk_fields)
    # A rollup's key is a digest of its row: an address, nothing to read.
    shown = [
        field
        for field in meta.concrete_fields
        if field.attname not in hidden and not (is_rollup and field.primary_key)
    ]
    # What a row says comes before where it comes from.
    shown.sort(key=lambda field: field.attname == LINEAGE_COLUMN)
    comments = attribute_docs(model)
    columns = tuple(_column(field, comments) for field in shown)
    relations = tuple(_relations(model, plain, comments))
    entity = Entity(
        model=model,
        source=source,
        names=names,
        description=_description(model, is_rollup),
        columns=columns,
        relations=_renamed(model, columns, relations),
        key=key,
        is_rollup=is_rollup,
    )
    _check_names(entity)
    return entity


def _description(model: Model, is_rollup: bool) -> str:
    if is_rollup:
        return str(model.rollup.description)  # type: ignore[attr-defined]
    return own_docstring(model)


def _column(field: "models.Field[Any, Any]", comments: Mapping[str, str]) -> Column:
    scalar = scalar_of(field)
    return Column(
        name=field_name(field.attname),
        attname=field.attname,
        lookup=_lookup(field),
        scalar=scalar,
        is_nullable=field.null,
        is_sortable=scalar not in (JSON, Base64),
        description=_about(field, comments),
    )


def _lookup(field: Any) -> str:
    if isinstance(field, models.ForeignKey):
        return f"{field.name}__{_lookup(field.target_field)}"
    return str(field.name)


def _about(field: "models.Field[Any, Any]", comments: Mapping[str, str]) -> str | None:
    return str(field.help_text) or comments.get(field.name)


def _relations(
    model: Model, plain: dict[Model, Names], comments: Mapping[str, str]
) -> Iterator[Relation]:
    for field in model._meta.concrete_fields:
        if isinstance(field, models.ForeignKey) and field.related_model in plain:
            yield Relation(
                name=field_name(field.name),
                target=field.related_model,
                is_list=False,
                is_nullable=field.null,
                own=field.attname,
                back=field.target_field.attname,
                lookup=field.name,
                description=_about(field, comments),
            )
    for back in model._meta.related_objects:
        target = back.related_model
        if not isinstance(back, models.ManyToOneRel) or target not in plain or back.hidden:
            continue
        to_one = isinstance(back, models.OneToOneRel)
        default = plain[target].one if to_one else plain[target].many
        yield Relation(
            name=field_name(back.related_name or default or ""),
            target=target,
            is_list=not to_one,
            is_nullable=to_one,
            own=back.field.target_field.attname,
            back=back.field.attname,
            lookup=back.field.related_query_name(),
            description=None,
        )


def _renamed(
    model: Model, columns: tuple[Column, ...], relations: tuple[Relation, ...]
) -> tuple[Relation, ...]:
    """The relations, without two fields of one name: what comes later takes `…Set`."""
    taken = {column.name for column in columns} | {"payload"}
    found = []
    for relation in relations:
        names = [relation.name, f"{relation.name}Set"]
        free = (name for name in names if not taken & _field_names(name, relation))
        name = next(free, "")
        if not name:
            raise SchemaError(
                f"{model._meta.label}: two fields would be called {relation.name} in GraphQL. "
                "Give the foreign key another related_name."
            )
        taken |= _field_names(name, relation)
        found.append(replace(relation, name=name))
    return tuple(found)


def _field_names(name: str, relation: Relation) -> set[str]:
    return {name, f"{name}Count"} if relation.is_list else {name}


def _check_names(entity: Entity) -> None:
    seen: set[str] = set()
    for column in entity.columns:
        if column.name in seen or (column.name == "payload" and entity.has_lineage):
            raise SchemaError(
                f"{entity.model._meta.label}.{column.attname} would be called {column.name} in "
                "GraphQL, which is taken. Rename the field."
            )
        seen.add(column.name)
