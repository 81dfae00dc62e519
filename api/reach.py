"""What a valid document reaches: which tables, how many rows at most, and what no table tells.

Walked once, when a document is learned. Access asks which sources it shows, entity tags ask
which tables its answer depends on, and the limits ask what it may cost.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from . import meanings
from .catalog import Catalog, Entity, Model
from .pages import DEFAULT_LIMIT, MAX_LIMIT

_PAGES = ("pagination", "first", "last")
# What an answer takes from the present rows alone; other arguments may ask for other times.
_PRESENT = frozenset({"filters", "order", "pagination", "first", "after", "last", "before"})


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows a list gives at most: a number, or a variable's value."""

    fixed: int
    variable: str = ""
    member: str = ""
    """Of the variable's value, where that is an object."""

    def value(self, variables: Mapping[str, Any]) -> int:
        """The number, for these variables."""
        found: Any = variables.get(self.variable, self.fixed) if self.variable else self.fixed
        if isinstance(found, Mapping):
            found = found.get(self.member, DEFAULT_LIMIT)
        is_number = isinstance(found, int) and not isinstance(found, bool)
        return max(0, found) if is_number else self.fixed


@dataclass(slots=True)
class Reach:
    """What the operations of one document reach, all of them together."""

    entities: dict[Model, Entity] = field(default_factory=dict)
    filtered: dict[Model, Entity] = field(default_factory=dict)
    """Entities whose filter comes in a variable: it may go on to any that they relate to."""
    has_lineage: bool = False
    """Whether it asks where rows come from."""
    is_volatile: bool = False
    """Whether more than tables tells the answer: a source's own resolver, the clock."""
    has_unknown: bool = False
    """Whether it reaches something that belongs to no source that is known."""
    introspects: bool = False
    costs: dict[str | None, list[tuple[Size, ...]]] = field(default_factory=dict)
    """By operation: the sizes of every list and what it stands in, to be multiplied."""
    variable_types: dict[str, list[Any]] = field(default_factory=dict)
    """By name; operations of one document may have different variables of one name."""

    def cost(self, operation: str | None, variables: Mapping[str, Any]) -> int:
        """How many rows the answer may hold, every list full."""
        total = 0
        for sizes in self.costs.get(operation, ()):
            product = 1
            for size in sizes:
                product *= size.value(variables)
            total += product
        return total


def reach_of(document: DocumentNode, schema: GraphQLSchema, catalog: Catalog) -> Reach:
    """Walk a valid document."""
    walk = _Walk(document, schema, catalog)
    query = schema.query_type
    assert query is not None  # a schema without one is not made
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            walk.operation(definition, query)
    return walk.reach


class Inputs:
    """Which entities the values of input types reach."""

    def __init__(self, catalog: Catalog) -> None:
        self._by_name = {
            name: entity for entity in catalog for name in (entity.names.filter, entity.names.order)
        }

    def entity(self, kind: Any) -> Entity | None:
        return self._by_name.get(getattr(get_named_type(kind), "name", ""))

    def of_value(self, kind: Any, value: Any) -> Iterator[Entity]:
        """The entities that a variable's value reaches, beginning with its own type's."""
        named = get_named_type(kind)
        if not isinstance(named, GraphQLInputObjectType) or value is None:
            return
        if isinstance(value, list):
            for one in value:
                yield from self.of_value(kind, one)
            return
        if (entity := self.entity(named)) is not None:
            yield entity
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if name in named.fields:
                    yield from self.of_value(named.fields[name].type, inner)


class _Walk:
    def __init__(self, document: DocumentNode, schema: GraphQLSchema, catalog: Catalog) -> None:
        self.reach = Reach()
        self._schema = schema
        self._catalog = catalog
        self._inputs = Inputs(catalog)
        self._types = {entity.names.type: entity for entity in catalog}
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._variables: dict[str, Any] = {}
        self._terms: list[tuple[Size, ...]] = []

    def operation(self, node: OperationDefinitionNode, query: GraphQLObjectType) -> None:
        self._variables = {}
        for definition in node.variable_definitions or ():
            inner: Any = definition.type
            while not hasattr(inner, "name"):
                inner = inner.type
            kind = self._schema.get_type(inner.name.value)
            self._variables[definition.variable.name.value] = kind
            self.reach.variable_types.setdefault(definition.variable.name.value, []).append(kind)
            if definition.default_value is not None:
                self._value(kind, definition.default_value)
        self._directives([node])
        self._terms = []
        self.reach.costs[node.name.value if node.name else None] = self._terms
        self._level([(query, node.selection_set)], ())

    def _level(self, parts: list[tuple[Any, SelectionSetNode]], sizes: tuple[Size, ...]) -> None:
        for parent, nodes in self._fields(parts):
            node = nodes[0]
            name = node.name.value
            self._directives(nodes)
            if name == "__typename":
                continue
            if name.startswith("__"):
                self.reach.introspects = True
                continue
            definition = getattr(parent, "fields", {}).get(name)
            if definition is None:
                self.reach.is_volatile = self.reach.has_unknown = True
                continue
            meaning = self._note(parent, definition)
            for argument in (argument for each in nodes for argument in each.arguments or ()):
                self._argument(definition, argument, meaning)
            below = [
                (get_named_type(definition.type), each.selection_set)
                for each in nodes
                if each.selection_set
            ]
            inner = sizes
            if below and (is_list_type(_nullable(definition.type)) or _is_paged(definition)):
                inner = (*sizes, _size(definition, node))
            is_root = parent is self._schema.query_type
            if is_root or inner is not sizes or isinstance(meaning, meanings.LinkedRow):
                self._terms.append(inner)
            if below:
                self._level(below, inner)

    def _directives(self, nodes: Iterable[Any]) -> None:
        """One that asks for another time than now makes an answer of more than the tables."""
        names = {each.name.value for node in nodes for each in node.directives or ()}
        if names - {"include", "skip", "live"}:
            self.reach.is_volatile = True

    def _note(self, parent: Any, definition: GraphQLField) -> object | None:
        """What a field means, noted in the reach."""
        backref: Any = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        meaning = meanings.meaning_of(backref) if backref is not None else None
        entity = getattr(meaning, "entity", None)
        if (relation := getattr(meaning, "relation", None)) is not None:
            entity = self._catalog[relation.target]
        shown = self._types.get(getattr(get_named_type(definition.type), "name", ""))
        for one in (entity, shown):
            if one is not None:
                self.reach.entities[one.model] = one
        if isinstance(meaning, meanings.Lineage | meanings.Built):
            self.reach.has_lineage = True
        if isinstance(meaning, meanings.Aggregated):
            # Of the published build, which follows the tables some time after a load.
            self.reach.is_volatile = True
        if meaning is None:
            is_root = parent is self._schema.query_type
            if is_root or parent.name in self._types:
                self.reach.is_volatile = True
            if is_root:
                self.reach.has_unknown = True
        return meaning

    def _argument(
        self, definition: GraphQLField, node: ArgumentNode, meaning: object | None
    ) -> None:
        name = node.name.value
        if name not in _PRESENT and not isinstance(meaning, meanings.RowByKey):
            self.reach.is_volatile = True
        self._value(definition.args[name].type, node.value)

    def _value(self, kind: Any, node: ValueNode) -> None:
        named = get_named_type(kind)
        if not isinstance(named, GraphQLInputObjectType):
            return
        if (entity := self._inputs.entity(named)) is not None:
            self.reach.entities[entity.model] = entity
            if isinstance(node, VariableNode):
                self.reach.filtered[entity.model] = entity
        if isinstance(node, ListValueNode):
            for each in node.values:
                self._value(kind, each)
        elif isinstance(node, ObjectValueNode):
            for one in node.fields:
                self._value(named.fields[one.name.value].type, one.value)

    def _fields(
        self, parts: Iterable[tuple[Any, SelectionSetNode]]
    ) -> Iterator[tuple[Any, list[FieldNode]]]:
        """The fields of one level, those of one response key and type together."""
        found: dict[tuple[str, str], tuple[Any, list[FieldNode]]] = {}
        spread: set[tuple[str, str]] = set()
        waiting = list(parts)
        while waiting:
            parent, selections = waiting.pop(0)
            for node in selections.selections:
                if isinstance(node, FieldNode):
                    key = (parent.name, (node.alias or node.name).value)
                    found.setdefault(key, (parent, []))[1].append(node)
                elif isinstance(node, FragmentSpreadNode):
                    fragment = self._fragments[node.name.value]
                    if (parent.name, node.name.value) not in spread:
                        spread.add((parent.name, node.name.value))
                        kind = self._schema.get_type(fragment.type_condition.name.value)
                        waiting.append((kind, fragment.selection_set))
                elif isinstance(node, InlineFragmentNode):
                    condition = node.type_condition
                    kind = self._schema.get_type(condition.name.value) if condition else parent
                    waiting.append((kind, node.selection_set))
        yield from found.values()


def _nullable(kind: Any) -> Any:
    return kind.of_type if is_non_null_type(kind) else kind


def _is_paged(definition: GraphQLField) -> bool:
    return any(name in definition.args for name in _PAGES)


def _size(definition: GraphQLField, node: FieldNode) -> Size:
    """How many rows a list gives, by its argument."""
    if not _is_paged(definition):
        return Size(1)
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    for name in _PAGES:
        value = given.get(name)
        if isinstance(value, ObjectValueNode):
            members = {one.name.value: one.value for one in value.fields}
            if "limit" not in members:
                break
            value = members["limit"]
        if isinstance(value, IntValueNode):
            return Size(int(value.value))
        if isinstance(value, VariableNode):
            return Size(MAX_LIMIT, value.name.value, "limit")
    return Size(DEFAULT_LIMIT)
