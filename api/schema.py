"""The schema: made once, when first asked for, from the models, the rollups and `schema.py`.

It depends on code alone, never on what the database holds.
"""

import logging
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import strawberry
from graphql import (
    DirectiveLocation,
    GraphQLDirective,
    GraphQLError,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionContext
from strawberry.types.field import StrawberryField

from reshape.models import derived_models
from warehouse.rollups import rollup_models

from .access.visibility import Visibility
from .aggregates.resolve import AggregateResolvers
from .aggregates.types import aggregate_root, aggregate_types
from .as_of import AsOf, make_directive
from .catalog import Catalog, make_catalog
from .compiled.answers import Compiler
from .compiled.documents import Documents
from .connections.counts import Count, CountMode
from .connections.resolve import ConnectionResolvers
from .connections.types import PageInfo, connection_root, connection_type
from .discovery import Written, find_written
from .errors import SchemaError
from .filters import LOOKUP_NAMES, filter_class
from .learning import Learner
from .limits import extensions, is_unexpected, too_large
from .lineage import Header, Payload, RollupBuild
from .operations import (
    FEED_NAMES,
    HIDDEN_COLUMNS,
    OWN_MODELS,
    Feed,
    OperationsQuery,
    complete_feed,
)
from .orders import order_class
from .pages import Pagination
from .resolve import Resolvers
from .scalars import scalar_map
from .types import TypeMaker

logger = logging.getLogger(__name__)

_MODULE = "api.generated"
_RESERVED = (
    FEED_NAMES
    | LOOKUP_NAMES
    | {
        kind.__name__
        for kind in (Header, Payload, Pagination, PageInfo, Count, CountMode, RollupBuild)
    }
    | {"Query", "Mutation", "Subscription", "Ordering"}
    | {"Int", "Float", "String", "Boolean", "ID"}
    | {"BigInt", "Decimal", "Date", "DateTime", "Time", "Base64", "UUID", "JSON"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The schema, and the catalog that says what its fields mean."""

    schema: strawberry.Schema
    catalog: Catalog
    documents: Documents
    """Those that were asked."""
    compiler: Compiler
    visibility: Visibility


_LIVE = GraphQLDirective(
    "live",
    [DirectiveLocation.QUERY],
    description="Answered again whenever the answer has changed, as server-sent events.",
)


class _Schema(strawberry.Schema):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        moment = self.schema_converter.type_map["DateTime"].implementation
        assert isinstance(moment, GraphQLScalarType)
        # Strawberry's own directives are applied to fields, at a cost to each of them.
        self.directives_offered = (*self._schema.directives, make_directive(moment), _LIVE)
        self._schema.directives = self.directives_offered

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log what the program did wrong; a client's mistakes are for the client to read."""
        for error in errors:
            if (refusal := too_large(error.original_error)) is not None:
                error.message, error.original_error = refusal.message, refusal
            elif is_unexpected(error):
                path = ".".join(str(part) for part in error.path or ())
                logger.error("operation failed field=%s", path, exc_info=error.original_error)


_lock = threading.Lock()
_made: list[Api] = []


def get_api() -> Api:
    """The program's schema; made by the first caller. Raises `SchemaError`."""
    if not _made:
        with _lock:
            if not _made:
                _made.append(make_api())
    return _made[0]


def made_api() -> Api | None:
    """The program's schema, if it is made already."""
    return _made[0] if _made else None


def describe() -> Catalog:
    """What the schema of everything that is installed will hold. Raises `SchemaError`."""
    return make_catalog(
        derived=derived_models(),
        rollups=rollup_models(),
        own=OWN_MODELS,
        hidden=HIDDEN_COLUMNS,
        reserved=_RESERVED,
    )


def make_api() -> Api:
    """Make the schema of everything that is installed. Raises `SchemaError`."""
    catalog = describe()
    written = find_written(catalog)
    module = ModuleType(_MODULE)
    # Generated classes name each other; strawberry looks such names up in their module.
    sys.modules[_MODULE] = module
    namespace = module.__dict__
    resolvers = Resolvers(catalog, frozenset(written.types))
    maker = TypeMaker(catalog, resolvers, namespace)
    for entity in catalog:
        namespace[entity.names.filter] = filter_class(entity, catalog, _MODULE)
        namespace[entity.names.order] = order_class(entity, catalog, _MODULE)
        own = written.types.get(entity.model)
        namespace[entity.names.type] = own or maker.generate(entity, _MODULE)
        connection_type(maker, entity, _MODULE)
        if entity.source:
            aggregate_types(maker, entity, resolvers, _MODULE)
    for model, own in written.types.items():
        maker.complete(catalog[model], own)
    complete_feed(maker)
    namespace["Feed"] = Feed
    written.offer(namespace, {entity.model: namespace[entity.names.type] for entity in catalog})
    roots = {field.graphql_name: field for entity in catalog for field in maker.roots(entity)}
    by_cursor, in_groups = ConnectionResolvers(resolvers), AggregateResolvers(catalog)
    for entity in catalog:
        roots[entity.names.connection] = connection_root(maker, entity, by_cursor)
        if entity.source:
            roots[entity.names.aggregate] = aggregate_root(maker, entity, in_groups)
    learner, compilers, cores = Learner(catalog), list[Compiler](), list[GraphQLSchema]()
    documents = Documents(learner.study)
    shown = frozenset(entity.names.type for entity in catalog if entity.source)
    around = extensions(
        written, catalog, documents, lambda: compilers[0], lambda: AsOf(lambda: cores[0], shown)
    )
    schema = _schema(roots, written, around)
    learner.teach(schema._schema)
    cores.append(_core(schema))
    compilers.append(Compiler(catalog, cores[0]))
    return Api(
        schema=schema,
        catalog=catalog,
        documents=documents,
        compiler=compilers[0],
        visibility=Visibility(catalog),
    )


def _core(schema: _Schema) -> GraphQLSchema:
    """The types as graphql-core has them."""
    query = schema.schema_converter.type_map["Query"].implementation
    assert isinstance(query, GraphQLObjectType)
    return GraphQLSchema(query, directives=schema.directives_offered)


def _schema(
    roots: dict[str | None, StrawberryField], written: Written, around: Sequence[Any]
) -> _Schema:
    fields: dict[str, Any] = {}
    config = StrawberryConfig(scalar_map=scalar_map())
    for field in [
        *roots.values(),
        *OperationsQuery.__strawberry_definition__.fields,  # type: ignore[attr-defined]
        *written.roots,
    ]:
        fields[config.name_converter.from_field(field)] = field
    query = strawberry.type(type("Query", (), {"__module__": _MODULE}), name="Query")
    query.__strawberry_definition__.fields = list(fields.values())  # type: ignore[attr-defined]
    try:
        return _Schema(query, config=config, extensions=around)
    except (GraphQLError, TypeError, ValueError, NameError) as error:
        raise SchemaError(f"The GraphQL schema cannot be made: {error}") from error
