"""As-of: `query @asOf(at: "2026-01-01T00:00Z") { … }` is answered as the archive stood then.

Rows of that moment lie in a SQLite file of their own. Where they come from is not this
package's to know: `etl` offers it. Such an operation goes by the ordinary executor, whose
reads a database router leads to that file; the program's own state has no past and is refused.
"""

import asyncio
import datetime as dt
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.db import connections
from graphql import (
    DirectiveLocation,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLDirective,
    GraphQLError,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_directive_values,
    get_named_type,
    get_variable_values,
)
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import ExecutionResult

from .compiled.selection import AS_OF, find_operation, is_of_the_past
from .errors import NotCompiled, RequestRefused
from .moments import offered, open_database
from .routing import past_database

logger = logging.getLogger(__name__)

# What tells of the program itself, and the types of whatever leads to it.
_PRESENT_FIELDS = frozenset(
    name
    for one, many in (
        ("run", "runs"),
        ("watermark", "watermarks"),
        ("sourceState", "sourceStates"),
        ("feed", "feeds"),
    )
    for name in (one, many, f"{many}Count")
)
_PRESENT_TYPES = re.compile(r"(Run|Watermark|SourceState|Feed)(s?[A-Z]\w*)?")
# One at a time: what several ask for is mostly the same, and making it takes a while.
_finders = ThreadPoolExecutor(1, thread_name_prefix="as-of")


def make_directive(moment: GraphQLScalarType) -> GraphQLDirective:
    """The directive, for a schema whose times are of this type."""
    return GraphQLDirective(
        AS_OF,
        [DirectiveLocation.QUERY],
        {
            "at": GraphQLArgument(
                GraphQLNonNull(moment), description="Fetches up to this moment count."
            )
        },
        description="Answers with the rows, aggregates and rollups as the archive stood then.",
    )


class AsOf(SchemaExtension):
    """Finds the database of the moment that an operation asks for, and reads from it."""

    def __init__(self, schema: Callable[[], GraphQLSchema], sources: Set[str]) -> None:
        self._schema = schema
        self._sources = sources
        """The types of what sources have: these have a past."""

    async def on_execute(self) -> AsyncIterator[None]:
        context = self.execution_context
        operation = self._operation()
        if operation is None:
            yield
            return
        try:
            self._refuse_the_present(operation)
            at = self._moment(operation)
            path = await asyncio.get_running_loop().run_in_executor(_finders, _find, at)
        except GraphQLError as error:
            context.result = ExecutionResult(data=None, errors=[error])
            yield
            return
        # An operation reads in one thread; the database is open there as long as it takes.
        alias = f"as_of_{uuid4().hex}"
        await sync_to_async(_connect)(alias, path)
        token = past_database.set(alias)
        try:
            yield
        finally:
            past_database.reset(token)
            await sync_to_async(_disconnect)(alias)

    def _operation(self) -> OperationDefinitionNode | None:
        """The operation, where it asks for another time."""
        document = self.execution_context.graphql_document
        assert document is not None  # strawberry has parsed it before it executes
        try:
            operation = find_operation(document, self.execution_context.operation_name)
        except NotCompiled:
            # An operation that is not named is the executor's to refuse.
            return None
        return operation if is_of_the_past(operation) else None

    def _moment(self, operation: OperationDefinitionNode) -> dt.datetime:
        schema, inputs = self._schema(), dict(self.execution_context.variables or {})
        variables = get_variable_values(schema, operation.variable_definitions or (), inputs)
        if isinstance(variables, list):
            raise variables[0]
        directive = schema.get_directive(AS_OF)
        assert directive is not None
        values = get_directive_values(directive, operation, variables)
        assert values is not None
        at: dt.datetime = values["at"]
        return at if at.tzinfo else at.replace(tzinfo=dt.UTC)

    def _refuse_the_present(self, operation: OperationDefinitionNode) -> None:
        """Refuse root fields that tell of the program, which has no past."""
        document = self.execution_context.graphql_document
        query = self._schema().query_type
        assert document is not None
        assert query is not None
        for name in _root_names(document, operation.selection_set):
            field = query.fields.get(name)
            kind = get_named_type(field.type).name if field else ""
            if name in _PRESENT_FIELDS or (
                kind not in self._sources and _PRESENT_TYPES.fullmatch(kind)
            ):
                raise RequestRefused(
                    f"{name} tells of the program as it is now and has no past; ask for it in an "
                    "operation without @asOf."
                )


def _root_names(document: DocumentNode, selected: SelectionSetNode) -> Iterator[str]:
    """The root fields of an operation, whatever its switches say."""
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    for node in selected.selections:
        if isinstance(node, FieldNode):
            yield node.name.value
        elif isinstance(node, InlineFragmentNode):
            yield from _root_names(document, node.selection_set)
        elif isinstance(node, FragmentSpreadNode):
            yield from _root_names(document, fragments[node.name.value].selection_set)


def _find(at: dt.datetime) -> Path:
    if not offered:
        raise RequestRefused("@asOf is not offered here.")
    ((find, refused),) = offered
    try:
        return find(at)
    except refused as error:
        raise RequestRefused(str(error)) from error
    except Exception as error:
        # Strawberry does not wind up an operation whose hooks raise before it runs.
        logger.exception("no database of another time at=%s", at.isoformat())
        raise RequestRefused("Something went wrong; the server's log says what.") from error
    finally:
        connections.close_all()


def _connect(alias: str, path: Path) -> None:
    """Give this thread a connection to a database that nobody changes any more."""
    connections[alias] = open_database(f"file:{quote(str(path))}?mode=ro&immutable=1", alias)


def _disconnect(alias: str) -> None:
    connections[alias].close()
    del connections[alias]
