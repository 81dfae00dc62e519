"""Measuring a document before it is validated: validation itself can be made to take long.

Whether fields that share a response key can be merged is found by comparing each with each,
on every level, through every fragment. So the levels are walked here first as they would be
merged, and counted; a walk ends where a bound is passed.
"""

from collections.abc import Iterable

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from .errors import RequestRefused

MAX_DEPTH = 12
MAX_ALIASES = 100
MAX_TOKENS = 5_000
MAX_CHARACTERS = 200_000
_MAX_SELECTIONS = 20_000
"""Selections of all levels, a fragment's wherever it is spread."""
_MAX_COMPARISONS = 100_000
"""Pairs of fields with one response key on one level."""


def measure(document: DocumentNode) -> None:
    """Raise `RequestRefused` for a document that is too deep, too repetitive or too large."""
    measuring = _Measuring(document)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            measuring.walk([definition.selection_set], 0)
        elif isinstance(definition, FragmentDefinitionNode):
            # One that nothing spreads is validated all the same.
            measuring.walk([definition.selection_set], 0)


class _Measuring:
    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._selections = 0
        self._aliases = 0
        self._comparisons = 0

    def walk(self, sets: list[SelectionSetNode], depth: int, *, told: bool = False) -> None:
        """Count a level and those below it. `told`: it tells of the schema itself, whose depth
        graphql-core bounds."""
        for nodes in self._fields(sets).values():
            self._comparisons += len(nodes) * (len(nodes) - 1) // 2
            if self._comparisons > _MAX_COMPARISONS:
                raise RequestRefused(
                    "This document repeats the same fields too often. Select each field once."
                )
            below = [node.selection_set for node in nodes if node.selection_set]
            if not below:
                continue
            is_told = told or nodes[0].name.value.startswith("__")
            if depth >= MAX_DEPTH and not is_told:
                raise RequestRefused(
                    f"This operation exceeds maximum depth: it has more than {MAX_DEPTH} levels."
                )
            if depth >= 4 * MAX_DEPTH:
                raise RequestRefused("This question about the schema is too deep.")
            self.walk(below, depth + 1, told=is_told)

    def _fields(self, sets: Iterable[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """The fields of one level by response key, fragments spread out."""
        found: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()
        waiting = list(sets)
        while waiting:
            for node in waiting.pop().selections:
                self._selections += 1
                if self._selections > _MAX_SELECTIONS:
                    raise RequestRefused(
                        f"This document selects more than {_MAX_SELECTIONS} fields. "
                        "Select less, or ask in several operations."
                    )
                if isinstance(node, FieldNode):
                    if node.alias:
                        self._count_alias()
                    key = (node.alias or node.name).value
                    found.setdefault(key, []).append(node)
                elif isinstance(node, FragmentSpreadNode):
                    name = node.name.value
                    fragment = self._fragments.get(name)
                    if fragment is not None and name not in spread:
                        spread.add(name)
                        waiting.append(fragment.selection_set)
                else:
                    waiting.append(node.selection_set)  # type: ignore[attr-defined]
        return found

    def _count_alias(self) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise RequestRefused(
                f"More than {MAX_ALIASES} aliases found; that is how many a document may have, "
                "a fragment's counted wherever it is spread."
            )
