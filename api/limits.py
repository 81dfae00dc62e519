"""Limits: how large, deep and repetitive an operation may be, and what an error may tell."""

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from graphql import GraphQLError
from strawberry.extensions import (
    AddValidationRules,
    MaskErrors,
    MaxAliasesLimiter,
    MaxTokensLimiter,
    QueryDepthLimiter,
    SchemaExtension,
)
from strawberry_django.optimizer import DjangoOptimizerExtension

from .compiled.answers import Compiler
from .compiled.documents import Documents, KnownDocuments
from .compiled.extension import CompiledPath
from .discovery import Written
from .operation import OperationScope

MAX_DEPTH = 12
MAX_ALIASES = 100
MAX_TOKENS = 5_000


def extensions(
    written: Written,
    documents: Documents,
    compiler: Callable[[], Compiler],
    past: Callable[[], SchemaExtension],
) -> Sequence[Any]:
    """What runs around every operation, outermost first. `compiler` is asked for when one runs.

    `past` makes what leads operations of another time to its database.
    """
    # Made once: the limiters make a class for each of their instances.
    rules = [
        rule
        for limiter in (MaxAliasesLimiter(MAX_ALIASES), QueryDepthLimiter(MAX_DEPTH))
        for rule in limiter.validation_rules
    ]
    found: list[type[SchemaExtension] | Any] = [
        lambda: MaskErrors(_is_hidden, "Something went wrong; the server's log says what."),
        lambda: MaxTokensLimiter(MAX_TOKENS),
        lambda: AddValidationRules(rules),
        lambda: KnownDocuments(documents),
        OperationScope,
        past,
        lambda: CompiledPath(compiler, documents),
    ]
    if written.roots:
        # Costs a call for every field: only where a source's own root fields need it. Rows come
        # whole, since a source's resolvers may read any column, and not from the event loop.
        found.append(lambda: DjangoOptimizerExtension(enable_only_optimization=False))
    return found


def is_unexpected(error: GraphQLError) -> bool:
    """Whether an error is the program's own: an exception that nobody meant for the client."""
    return not (error.original_error is None or isinstance(error.original_error, GraphQLError))


def _is_hidden(error: GraphQLError) -> bool:
    return is_unexpected(error) and not settings.DEBUG
