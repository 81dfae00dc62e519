"""What a model's author wrote below each field: the string that documents the attribute.

Python keeps the docstring of a class but not of its attributes, so the source is read.
A `help_text` says the same and needs no source.
"""

import ast
import inspect
import textwrap
from functools import cache

from django.db import models


@cache
def attribute_docs(model: type[models.Model]) -> dict[str, str]:
    """The strings below the fields of a model and its parents, by field name.

    Empty for a class without a source file, such as a rollup's.
    """
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, models.Model) and owner is not models.Model:
            found |= _own(owner)
    return found


def own_docstring(owner: type) -> str:
    """The docstring of a class as its author wrote it, or nothing.

    Where there is none, Django and dataclasses write the signature: `Quake(code, place)`.
    """
    doc = owner.__doc__ or ""
    return "" if doc.startswith(f"{owner.__name__}(") else inspect.cleandoc(doc)


def _own(owner: type) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(owner))
    except (OSError, TypeError):
        return {}
    (definition,) = ast.parse(source).body
    if not isinstance(definition, ast.ClassDef):
        return {}
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(field, ast.Assign)
            and isinstance(target := field.targets[0], ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[target.id] = inspect.cleandoc(below.value.value)
    return found
