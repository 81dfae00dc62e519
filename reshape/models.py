"""Models of this stage: the parent of every derived model, and what a replay reports."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

from django.apps import apps
from django.db import models


class Row(NamedTuple):
    """What a transform yields: a model and the values it gives, not a model instance."""

    model: "type[Derived]"
    values: dict[str, Any]


# A row without the call that a named tuple's own constructor is: there are millions of them.
_new_row = tuple.__new__


class Derived(models.Model):
    """A model whose rows are derived from the archive and can be derived again at any time.

    Its primary key is the natural key, the id the source itself uses: one field, or
    `models.CompositePrimaryKey`. Only a replay writes its rows.
    """

    merge: ClassVar[Literal["row", "fields"]] = "row"
    """How several records of one natural key make a row.

    `"row"`: the newest record is the row. `"fields"`: each column comes from the newest record
    that gives it; a record that leaves a column out says nothing about it.
    """

    precedence: ClassVar[Mapping[str, Sequence[str]]] = MappingProxyType({})
    """With `merge = "fields"`: column → feeds, the most trusted first.

    A value of a feed listed earlier wins over newer ones of feeds listed later or not at all.
    """

    fetch_id = models.UUIDField(editable=False, db_index=False)
    """The fetch whose payload first said what this row says, and everything since said the same."""

    keep_history: ClassVar[bool] = False
    """Whether builds have the view TABLE_history: every state a row has had (`reshape.history`)."""

    class Meta:
        abstract = True

    @classmethod
    def row(cls, **values: Any) -> Row:
        """A row of this model. A foreign key is given by its column: `station_id=…`; a
        many-to-many field, whose through model is derived, by a list of its targets' keys."""
        return _new_row(Row, (cls, values))


def derived_models(source: str | None = None) -> list[type[Derived]]:
    """Every derived model, or those of one source, by table."""
    found = [
        model
        for model in apps.get_models()
        if issubclass(model, Derived) and source in (None, model._meta.app_label)
    ]
    return sorted(found, key=lambda model: model._meta.db_table)


class ModelState(models.Model):
    """Which columnar copy equals a derived table (or a rollup's) as it stands."""

    table = models.CharField(primary_key=True, max_length=200)
    source = models.CharField(max_length=100, db_index=True)
    copy_path = models.CharField(max_length=500)
    """Below the warehouse folder."""
    row_count = models.BigIntegerField()
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.table}: {self.row_count} rows"


class SourceState(models.Model):
    """What the last replay of a source did: its fingerprints, counts and data version."""

    source = models.CharField(primary_key=True, max_length=100)
    data_version = models.BigIntegerField(default=0)
    """Grows by one with every load that changed something."""
    fingerprints = models.JSONField(default=dict)
    """Transform name to fingerprint."""
    replayed_at = models.DateTimeField()
    inputs = models.CharField(max_length=64, blank=True)
    """What its rows were linked from (`reshape.inputs`); empty where that is to be found anew."""
    limit_exceeded = models.TextField(blank=True)
    """Why the last replay was not loaded: which feed has more in quarantine than its limit allows.

    Empty where it was loaded.
    """

    def __str__(self) -> str:
        return f"{self.source}: data version {self.data_version}"


class QuarantineEntry(models.Model):
    """A payload, or one row of it, that a transform could not read, and why.

    It clears itself when one can.
    """

    pk = models.CompositePrimaryKey("transform", "fetch_id", "ordinal")
    transform = models.CharField(max_length=200)
    fetch_id = models.UUIDField()
    ordinal = models.IntegerField(default=-1)
    """Which of the rows that the payload gives, from 0; -1 where it is the whole payload."""
    source = models.CharField(max_length=100, db_index=True)
    feed = models.CharField(max_length=200, db_index=True)
    url = models.TextField()
    fetched_at = models.DateTimeField()
    error = models.CharField(max_length=200)
    """The kind of error: an exception's name, or `RowInvalid`."""
    message = models.TextField()
    model = models.CharField(max_length=200, blank=True)
    field = models.CharField(max_length=200, blank=True)
    value = models.TextField(blank=True)
    key = models.TextField(blank=True)
    """The row's natural key as a JSON list, where it is known."""

    def __str__(self) -> str:
        return f"{self.transform} could not read {self.fetch_id}: {self.message}"


class HeldRow(models.Model):
    """A row waiting for the target of its foreign key, or for a column that no payload gives yet.

    It is loaded as soon as what it waits for appears.
    """

    pk = models.CompositePrimaryKey("model", "key", "field")
    model = models.CharField(max_length=200)
    key = models.TextField()
    """The natural key, as a JSON list."""
    field = models.CharField(max_length=200)
    target = models.TextField()
    """The natural key that is missing; empty where the column itself is."""
    source = models.CharField(max_length=100, db_index=True)
    fetch_id = models.UUIDField()

    def __str__(self) -> str:
        return f"{self.model} {self.key} waits for {self.field} {self.target}".rstrip()
