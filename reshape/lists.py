"""Lists of links: many-to-many fields that a row gives as the keys of their targets.

The list is part of the record of its owner, and the owner's row makes the through model's
rows. The through model is a derived model whose natural key are the two foreign keys.
"""

from typing import Any

import pyarrow as pa
from django.db import models

from .columns import Column, Convert, column_for, key_fields, least_of


def list_fields(model: type[models.Model]) -> "list[models.ManyToManyField[Any, Any]]":
    """The many-to-many fields that a row gives as a list of keys.

    The through model is derived and holds the two keys, nothing else.
    """
    return [field for field in model._meta.local_many_to_many if _is_list(field)]


def through_of(field: "models.ManyToManyField[Any, Any]") -> type[models.Model]:
    """The model whose rows are a many-to-many field's links."""
    through = field.remote_field.through
    assert isinstance(through, type)
    return through


def list_columns(field: "models.ManyToManyField[Any, Any]") -> "tuple[Column, Column]":
    """The through model's columns of a many-to-many field: the owner's key and the target's."""
    through = through_of(field)._meta
    owner = through.get_field(field.m2m_field_name())
    target = through.get_field(field.m2m_reverse_field_name())
    assert isinstance(owner, models.ForeignKey)
    assert isinstance(target, models.ForeignKey)
    return column_for(owner), column_for(target)


def list_column(field: "models.ManyToManyField[Any, Any]") -> Column:
    """The column of records that holds the keys a row lists, each once and in order."""
    _, target = list_columns(field)
    return Column(field.name, field, pa.list_(target.arrow), _keys(target.convert), False, [])


def reaches_out(column: Column) -> bool:
    """Whether a column holds keys of which its source's own tables do not say the type."""
    if isinstance(column.field, models.ManyToManyField):
        return True
    if not isinstance(column.field, models.ForeignKey):
        return False
    target = column.field.target_field.model
    return bool(target._meta.app_label != column.field.model._meta.app_label)


def limit_of(column: Column) -> int | None:
    """How many characters a column's values, or the items of its lists, may have."""
    return _holder(column).max_length


def kind_of(column: Column) -> str:
    """What a column's values are held to that its Arrow type does not say; empty if nothing."""
    field = _holder(column)
    if isinstance(field, models.JSONField):
        return "JSON"
    if isinstance(field, models.UUIDField):
        return "UUID"
    is_positive = isinstance(field, models.IntegerField) and least_of(field) == 0
    return "from 0" if is_positive else ""


def _holder(column: Column) -> "models.Field[Any, Any]":
    """The field that says what a column's values, or the items of its lists, may be."""
    field = column.field
    if isinstance(field, models.ManyToManyField):
        field = list_columns(field)[1].field
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    return field


def _is_list(field: "models.ManyToManyField[Any, Any]") -> bool:
    from .models import Derived

    through = field.remote_field.through
    if not (isinstance(through, type) and issubclass(through, Derived)):
        return False
    of_through = [
        str(each.column) for each in through._meta.concrete_fields if each.name != "fetch_id"
    ]
    names = {column.name for column in list_columns(field)}
    key = {str(each.column) for each in key_fields(through)}
    return names == key == set(of_through)


def _keys(convert_key: Convert) -> Convert:
    def convert(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple | set | frozenset):
            raise ValueError(f"it is {type(value).__name__}, not a list of keys")
        # A set of links has no order: equal sets are equal values.
        return sorted({convert_key(key) for key in value})

    return convert
