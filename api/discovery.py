"""What sources wrote themselves: the types and root fields of their `schema.py`.

A class decorated with `@strawberry_django.type(models.Quake)` takes the place of the
generated type; with `extend=True` it adds to it. The fields of a class `Query` become
root fields. `docs/graphql.md` shows both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

from django.apps import AppConfig, apps
from django.utils.module_loading import module_has_submodule
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.field import StrawberryField
from strawberry_django.utils.typing import get_django_definition

from .catalog import Catalog, Model
from .errors import SchemaError


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The types, by model, and the root fields that sources wrote."""

    types: dict[Model, type] = field(default_factory=dict)
    roots: list[StrawberryField] = field(default_factory=list)
    modules: list[ModuleType] = field(default_factory=list)

    def offer(self, names: Mapping[str, Any], types: Mapping[Model, type]) -> None:
        """Let what is written lead to any type: by its name, or by the model it shows.

        `station: "Station"` needs no import, and a root field may be declared to return
        `Iterable[models.Quake]`, which is what it does return.
        """
        for module in self.modules:
            for name, kind in names.items():
                if isinstance(kind, type):
                    module.__dict__.setdefault(name, kind)
        for root in self.roots:
            annotation = root.type_annotation
            if annotation is None and root.base_resolver is not None:
                annotation = root.base_resolver.type_annotation
            if annotation is not None:
                root.type_annotation = StrawberryAnnotation(
                    _shown(annotation.evaluate(), types), namespace=annotation.namespace
                )


def find_written(catalog: Catalog) -> Written:
    """Import the `schema.py` of every source and collect what it defines.

    Raises `SchemaError` where two classes are written for one model, or where one is
    written for a model that is not in the schema.
    """
    written = Written()
    for config in apps.get_app_configs():
        if config.name == "api" or not _has_schema(config):
            continue
        module = import_module(f"{config.name}.schema")
        written.modules.append(module)
        for name, found in list(vars(module).items()):
            if not isinstance(found, type) or found.__module__ != module.__name__:
                continue
            definition = get_django_definition(found)
            if definition is not None and not definition.is_input:
                _add(written, catalog, definition.model, found)
            elif name == "Query":
                written.roots.extend(_roots(found))
    return written


def _shown(annotation: Any, types: Mapping[Model, type]) -> Any:
    """The annotation with GraphQL types in place of models."""
    if isinstance(annotation, type) and annotation in types:
        return types[annotation]
    arguments = [_shown(argument, types) for argument in get_args(annotation)]
    if get_origin(annotation) in (list, Iterable):
        return list[arguments[0]]  # type: ignore[valid-type]
    if get_origin(annotation) in (Union, UnionType):
        return Union[tuple(arguments)]  # noqa: UP007
    return annotation


def _has_schema(config: AppConfig) -> bool:
    return config.module is not None and module_has_submodule(config.module, "schema")


def _add(written: Written, catalog: Catalog, model: Model, found: type) -> None:
    where = f"{found.__module__}.{found.__qualname__}"
    if model not in catalog:
        raise SchemaError(
            f"{where} is a type for {model._meta.label}, which is not in the schema. "
            "Types are written for models that derive from reshape.models.Derived."
        )
    if model in written.types:
        other = written.types[model]
        raise SchemaError(
            f"{where} and {other.__module__}.{other.__qualname__} are both types for "
            f"{model._meta.label}. Keep one of them."
        )
    written.types[model] = found


def _roots(query: Any) -> list[StrawberryField]:
    definition = getattr(query, "__strawberry_definition__", None)
    if definition is None:
        raise SchemaError(
            f"{query.__module__}.Query is not a GraphQL type. Decorate it with @strawberry.type."
        )
    return list(definition.fields)
