"""Documents that were asked before: parsed and validated once, with the plans made for them."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from graphql import DocumentNode, OperationDefinitionNode
from strawberry.extensions import SchemaExtension

from ..errors import NotCompiled
from .plan import Plan
from .selection import switch_variables

# Parsed, a document takes a few hundred times the memory of its text.
_MAX_CHARACTERS = 500_000
_LONGEST = 50_000
_MAX_PLANS = 32


@dataclass(slots=True)
class Known:
    """A valid document."""

    document: DocumentNode
    switches: frozenset[str]
    first_name: str | None
    """The name of its first operation: which one is meant where none is named."""
    plans: dict[Hashable, Plan | NotCompiled] = field(default_factory=dict)
    """By operation and setting of its switches; or why there is none."""

    def keep(self, key: Hashable, plan: Plan | NotCompiled) -> None:
        """Remember a plan, or that there is none."""
        if len(self.plans) >= _MAX_PLANS:
            self.plans.clear()
        self.plans[key] = plan


def known_of(document: DocumentNode) -> Known:
    """A document that was found valid, without plans yet."""
    first = next(one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    name = first.name.value if first.name else None
    return Known(document, switch_variables(document), name)


class Documents:
    """The valid documents of one schema that were asked most recently."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._characters = 0

    def find(self, text: str | None) -> Known | None:
        """The document with this text, if it is known to be valid."""
        if text is None:
            return None
        with self._lock:
            known = self._known.get(text)
            if known is not None:
                self._known.move_to_end(text)
            return known

    def add(self, text: str, document: DocumentNode) -> Known:
        """Remember a document that was found valid."""
        known = known_of(document)
        if len(text) > _LONGEST:
            return known
        with self._lock:
            if text not in self._known:
                self._characters += len(text)
            self._known[text] = known
            while self._characters > _MAX_CHARACTERS:
                dropped, _ = self._known.popitem(last=False)
                self._characters -= len(dropped)
        return known


class KnownDocuments(SchemaExtension):
    """Spares a known document its parsing and its validation."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def on_parse(self) -> Iterator[None]:
        known = self._documents.find(self.execution_context.query)
        if known is not None:
            self.execution_context.graphql_document = known.document
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        known = self._documents.find(context.query)
        if known is not None and known.document is context.graphql_document:
            context.pre_execution_errors = []
            yield
            return
        yield
        if context.query and context.graphql_document and not context.pre_execution_errors:
            self._documents.add(context.query, context.graphql_document)
