"""What of a document a caller may see: sources that a token does not name are not there for it.

Whatever is hidden is refused with the words for what does not exist, without the
suggestions that would name it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from graphql import GraphQLError

from ..catalog import Catalog, Entity
from ..compiled.documents import Known
from ..errors import RequestRefused
from ..reach import Inputs
from .callers import ADMIN, Caller

_SUGGESTION = re.compile(r" Did you mean .*", re.S)


class Visibility:
    """Judges documents by what they reach."""

    def __init__(self, catalog: Catalog) -> None:
        self._inputs = Inputs(catalog)

    def refusal(
        self, caller: Caller, known: Known, variables: Mapping[str, Any]
    ) -> RequestRefused | None:
        """Why a caller may not ask a valid document with these variables; nothing if they may."""
        reach = known.reach
        is_limited = caller.sources is not None
        may_introspect = settings.GRAPHQL_INTROSPECTION or caller.may(ADMIN)
        if reach.introspects and (is_limited or not may_introspect):
            return RequestRefused("Questions about the schema are not answered here.")
        if not is_limited:
            return None
        hidden = reach.has_unknown or any(
            not caller.sees(entity.source)
            for entity in (*reach.entities.values(), *self._in_variables(known, variables))
        )
        if hidden:
            return RequestRefused(
                "This asks for something that does not exist, or that this token does not show."
            )
        return None

    def _in_variables(self, known: Known, variables: Mapping[str, Any]) -> Iterator[Entity]:
        for name, value in variables.items():
            for kind in known.reach.variable_types.get(name, ()):
                yield from self._inputs.of_value(kind, value)


def told(caller: Caller, errors: list[GraphQLError]) -> list[GraphQLError]:
    """What a caller is told of a document's mistakes: a limited one nothing of what is hidden."""
    if caller.sources is None or not errors:
        return errors
    return [
        GraphQLError(
            "This asks for something that does not exist, or that this token does not show."
            if _names_the_schema(error)
            else _SUGGESTION.sub("", error.message)
        )
        for error in errors
    ]


def _names_the_schema(error: GraphQLError) -> bool:
    return " on type " in error.message or "Unknown type" in error.message
