"""Limits: what an operation may cost and see, and what an error may tell."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.db import OperationalError
from graphql import GraphQLError
from strawberry.extensions import MaskErrors, SchemaExtension
from strawberry_django.optimizer import DjangoOptimizerExtension

from .access.visibility import Visibility, told
from .catalog import Catalog
from .compiled.answers import Compiler
from .compiled.documents import Documents, Known, KnownDocuments, Learned
from .compiled.extension import Asking, CompiledPath
from .discovery import Written
from .errors import RequestRefused
from .operation import OperationScope


def extensions(
    written: Written,
    catalog: Catalog,
    documents: Documents,
    compiler: Callable[[], Compiler],
    past: Callable[[], SchemaExtension],
) -> Sequence[Any]:
    """What runs around every operation, outermost first. `compiler` is asked for when one runs.

    `past` makes what leads operations of another time to its database.
    """
    visibility = Visibility(catalog)
    found: list[type[SchemaExtension] | Any] = [
        lambda: MaskErrors(_is_hidden, "Something went wrong; the server's log says what."),
        lambda: KnownDocuments(documents),
        lambda: Bounds(documents, visibility),
        OperationScope,
        past,
        lambda: CompiledPath(compiler, documents),
    ]
    if written.roots:
        # Costs a call for every field: only where a source's own root fields need it. Rows come
        # whole, since a source's resolvers may read any column, and not from the event loop.
        found.append(lambda: DjangoOptimizerExtension(enable_only_optimization=False))
    return found


class Bounds(SchemaExtension):
    """Refuses a valid document whose answer would cost too much, or is not the caller's to see."""

    def __init__(self, documents: Documents, visibility: Visibility) -> None:
        self._documents = documents
        self._visibility = visibility

    def on_validate(self) -> Iterator[None]:
        if self.execution_context.query:
            self._judge(self._documents.learn(self.execution_context.query))
        yield

    def _judge(self, learned: Learned) -> None:
        context = self.execution_context
        asking = context.context
        errors = context.pre_execution_errors or []
        if isinstance(learned, Known) and not errors:
            variables = context.variables or {}
            refusal = bound(learned, context.operation_name, variables)
            if isinstance(asking, Asking) and asking.caller is not None:
                refusal = self._visibility.refusal(asking.caller, learned, variables) or refusal
            errors = [refusal] if refusal else []
        elif isinstance(asking, Asking) and asking.caller is not None:
            errors = told(asking.caller, errors)
        context.pre_execution_errors = errors


def bound(known: Known, operation: str | None, variables: dict[str, Any]) -> RequestRefused | None:
    """Why an operation would cost too much; nothing if it would not."""
    cost = known.reach.cost(operation or known.first_name, variables)
    if cost <= settings.GRAPHQL_MAX_COST:
        return None
    return RequestRefused(
        f"This answer could hold {cost} rows, if every list were full; at most "
        f"{settings.GRAPHQL_MAX_COST} are allowed. Ask for smaller pages, above all of lists "
        "within lists.",
        extensions={"cost": cost, "maxCost": settings.GRAPHQL_MAX_COST},
    )


_SQLITES = ("Expression tree is too large", "pattern too complex", "parser stack overflow")


def too_large(error: BaseException | None) -> RequestRefused | None:
    """Why a statement is refused that is beyond what SQLite takes; nothing of other errors."""
    if not isinstance(error, OperationalError) or not any(one in str(error) for one in _SQLITES):
        return None
    return RequestRefused(
        f"A filter is larger than the database takes: {error}. Ask with fewer parts or shorter "
        "text, with inList in place of many values, or in several operations."
    )


def is_unexpected(error: GraphQLError) -> bool:
    """Whether an error is the program's own: an exception that nobody meant for the client."""
    return not (error.original_error is None or isinstance(error.original_error, GraphQLError))


def _is_hidden(error: GraphQLError) -> bool:
    return is_unexpected(error) and not settings.DEBUG
