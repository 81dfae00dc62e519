"""What each field of the schema means, noted on the field when it is made.

The ordinary executor calls a field's resolver. The compiled path (`api/compiled`) reads
these notes instead; a field without one, such as a source's own resolver, it leaves alone.
A new kind of field needs a class here, a note where it is made, and a reader there.
"""

from dataclasses import dataclass
from typing import Any

from strawberry.types.field import StrawberryField

from .catalog import Column, Entity, Relation

_NOTE = "rootcellar.meaning"


@dataclass(frozen=True, slots=True)
class ColumnValue:
    """One column of the row."""

    column: Column


@dataclass(frozen=True, slots=True)
class LinkedRow:
    """The one row that a relation leads to, or null."""

    relation: Relation


@dataclass(frozen=True, slots=True)
class LinkedRows:
    """A page of the rows that a relation leads to."""

    relation: Relation


@dataclass(frozen=True, slots=True)
class LinkedCount:
    """How many rows a relation leads to."""

    relation: Relation


@dataclass(frozen=True, slots=True)
class Lineage:
    """The payload that the row comes from."""


@dataclass(frozen=True, slots=True)
class Built:
    """What the row of a rollup was computed of, and when."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of an entity's rows: a root field."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows of an entity there are: a root field."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class RowByKey:
    """The row with a key, or null: a root field."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class ConnectedRows:
    """An entity's rows by cursor: a root field."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class Aggregated:
    """Numbers of an entity's rows, by group: a root field."""

    entity: Entity


def note(meaning: object) -> dict[str, Any]:
    """A field's metadata, saying what it means."""
    return {_NOTE: meaning}


def meaning_of(field: StrawberryField) -> object | None:
    """What a field was noted to mean, or nothing."""
    return field.metadata.get(_NOTE)
