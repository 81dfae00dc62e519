"""Which fields an operation selects at a place, with fragments and switches worked out.

A switch is `@include` or `@skip`: the only way in which variables change the shape of an answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLResolveInfo,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    visit,
)

from ..errors import NotCompiled

Switches = Mapping[str, bool]

AS_OF = "asOf"
"""The directive of operations that ask for another time (`api.as_of`)."""


class Selection:
    """The selections of one operation, for one setting of its switches."""

    def __init__(self, document: DocumentNode, switches: Switches) -> None:
        self._switches = switches
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }

    @classmethod
    def of(cls, info: GraphQLResolveInfo[Any]) -> "Selection":
        """The selections of the operation that the ordinary executor is about to answer."""
        document = DocumentNode(definitions=tuple(_fragments(info)))
        # strawberry hands on the plain values.
        given: Any = info.variable_values
        return cls(document, getattr(given, "coerced", given))

    def fields(self, parts: Iterable[SelectionSetNode | None]) -> dict[str, list[FieldNode]]:
        """The selected fields by response key, in order; those of one key belong together."""
        found: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for part in parts:
            for node in self._spread(part, seen):
                key = node.alias.value if node.alias else node.name.value
                found.setdefault(key, []).append(node)
        return found

    def _spread(self, part: SelectionSetNode | None, seen: set[str]) -> Iterator[FieldNode]:
        for node in part.selections if part else ():
            if not self._is_included(node.directives):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                # No type of this schema is abstract: a fragment that is valid here applies here.
                yield from self._spread(node.selection_set, seen)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                yield from self._spread(self._fragments[node.name.value].selection_set, seen)

    def _is_included(self, directives: Iterable[DirectiveNode] | None) -> bool:
        for directive in directives or ():
            name = directive.name.value
            if name not in ("include", "skip"):
                raise NotCompiled(f"the directive @{name}")
            (condition,) = directive.arguments or ()
            if self._value(condition.value) is (name == "skip"):
                return False
        return True

    def _value(self, node: Any) -> bool:
        value = self._switches.get(node.name.value) if is_variable(node) else node.value
        if not isinstance(value, bool):
            raise NotCompiled("a switch without a value")
        return value


def _fragments(info: GraphQLResolveInfo[Any]) -> Iterator[FragmentDefinitionNode]:
    for one in info.fragments.values():
        yield getattr(one, "definition", one)


def is_variable(node: Node) -> bool:
    """Whether a value in a document is a variable."""
    return isinstance(node, VariableNode)


def has_variables(node: Node) -> bool:
    """Whether there are variables anywhere below a node."""
    return bool(_Variables.of(node))


def switch_variables(document: DocumentNode) -> frozenset[str]:
    """The variables that a document's directives depend on."""
    return frozenset(_SwitchVariables.of(document))


def find_operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """The operation that is asked for, as the ordinary executor chooses it."""
    operations = [
        definition
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
        and (name is None or (definition.name and definition.name.value == name))
    ]
    if len(operations) != 1:
        raise NotCompiled("an operation that is not named")
    return operations[0]


def is_of_the_past(operation: OperationDefinitionNode) -> bool:
    """Whether an operation asks for another time than the present."""
    return any(each.name.value == AS_OF for each in operation.directives or ())


class _Variables(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    @classmethod
    def of(cls, node: Node) -> set[str]:
        visitor = cls()
        visit(node, visitor)
        return visitor.names

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names.add(node.name.value)


class _SwitchVariables(_Variables):
    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        pass

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        self.names |= _Variables.of(node)
