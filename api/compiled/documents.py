"""Documents that were asked before: parsed and validated once, with the plans made for them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode
from strawberry.extensions import SchemaExtension

from ..catalog import Entity
from ..errors import NotCompiled
from ..reach import Reach
from .plan import Plan
from .selection import switch_variables

# Parsed, a document takes a few hundred times the memory of its text.
_MAX_CHARACTERS = 500_000
_MAX_PLANS = 32


@dataclass(slots=True)
class Known:
    """A valid document."""

    document: DocumentNode
    switches: frozenset[str]
    first_name: str | None
    """The name of its first operation: which one is meant where none is named."""
    reach: Reach = field(default_factory=Reach)
    plans: dict[Hashable, Plan | NotCompiled] = field(default_factory=dict)
    """By operation and setting of its switches; or why there is none."""
    rests_on: tuple[Entity, ...] | None = None
    """The entities whose rows its answers depend on; null until that is asked."""

    def is_live(self, operation: str | None) -> bool:
        """Whether an operation asks with `@live` to be answered again when its answer changes."""
        for one in self.document.definitions:
            if not isinstance(one, OperationDefinitionNode):
                continue
            name = one.name.value if one.name else None
            if operation is None or name == operation:
                return any(each.name.value == "live" for each in one.directives or ())
        return False

    def keep(self, key: Hashable, plan: Plan | NotCompiled) -> None:
        """Remember a plan, or that there is none."""
        if len(self.plans) >= _MAX_PLANS:
            self.plans.clear()
        self.plans[key] = plan


@dataclass(frozen=True, slots=True)
class Unfit:
    """A document that is not valid, or too large to be looked at, and why."""

    document: DocumentNode | None
    """Null where it could not be parsed."""
    errors: tuple[GraphQLError, ...]


Learned = Known | Unfit


def known_of(document: DocumentNode, reach: Reach | None = None) -> Known:
    """A document that was found valid, without plans yet."""
    first = next(one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    name = first.name.value if first.name else None
    return Known(document, switch_variables(document), name, reach or Reach())


class Documents:
    """The documents that were asked of one schema most recently.

    `study` parses and validates a text; it is asked once, as long as the text is remembered.
    """

    def __init__(self, study: Callable[[str], Learned]) -> None:
        self._study = study
        self._lock = threading.Lock()
        self._learned: OrderedDict[str, Learned] = OrderedDict()
        self._characters = 0

    def find(self, text: str) -> Learned | None:
        """What is known of the document with this text."""
        with self._lock:
            found = self._learned.get(text)
            if found is not None:
                self._learned.move_to_end(text)
            return found

    def learn(self, text: str) -> Learned:
        """What is to be known of a document: found, or studied now. Takes a while then."""
        found = self.find(text)
        if found is not None:
            return found
        found = self._study(text)
        with self._lock:
            if text not in self._learned:
                self._characters += len(text)
            self._learned[text] = found
            while self._characters > _MAX_CHARACTERS and len(self._learned) > 1:
                dropped, _ = self._learned.popitem(last=False)
                self._characters -= len(dropped)
        return found


class KnownDocuments(SchemaExtension):
    """Learns each document once: strawberry neither parses nor validates it again."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._learned: Learned | None = None

    def on_parse(self) -> Iterator[None]:
        text = self.execution_context.query
        if text:
            self._learned = self._documents.learn(text)
            if self._learned.document is None:
                # It could not even be read, and strawberry need not try.
                raise self._learned.errors[0]
            self.execution_context.graphql_document = self._learned.document
        yield

    def on_validate(self) -> Iterator[None]:
        if self._learned is not None:
            errors = self._learned.errors if isinstance(self._learned, Unfit) else ()
            self.execution_context.pre_execution_errors = list(errors)
        yield
