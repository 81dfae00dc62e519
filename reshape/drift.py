"""Drift: which fields of a feed's payloads appeared, vanished or changed type, and when.

Payloads go in one by one, in the order of time; a report comes out. What is kept grows with the
number of distinct fields, not of payloads, and is bounded. Nothing here reads the archive.

A field is a path: `features[].properties.mag` in JSON, `feed/entry/@id` in XML and HTML, the
column's name in CSV. `$` is the body itself, whose types are `object`, `array`, `csv`, `xml`, …

- A field is judged against its parent: it *vanished* where payloads with its parent came later
  without it, and *appeared* where they came before without it. An empty list says nothing about
  the fields of its items.
- A field that comes and goes is not reported each time: its absence must be longer, in payloads,
  than any before it (or, for one that appeared, after it).
- A field *changed type* where one type was seen for the last time before another was seen for the
  first time. Types that alternate are *mixed*, and are no drift.
- An object used as a map collapses: more than `MAP_KEYS` distinct keys at one path, all of its
  keys become `*`. Keys that are numbers, dates or ids are `*` from the first on.
"""

import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

MAP_KEYS = 200
"""Distinct keys at one path; with more it is a map, and they become `*`."""
MAX_DEPTH = 32
"""Deeper than this nothing is looked at."""
MAX_FIELDS = 10_000
"""Fields at most; further ones are counted and left out."""
MAX_KEY = 200
"""Characters; a longer key is no field's name and becomes `*`."""

_VARYING = re.compile(
    r"[-+]?\d[\d.,:TZ/+\-_ ]*"  # numbers, dates, times
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{16,}"
)


@dataclass(slots=True)
class TypeSeen:
    """One type of a field: in how many payloads, first and last when."""

    name: str
    payload_count: int
    first_at: datetime
    last_at: datetime
    first_number: int
    """The payload it was first seen in, counted over all."""
    last_number: int


@dataclass(slots=True)
class FieldSeen:
    """A field under observation."""

    label: str
    """How it stands in a path: `.mag`, `[]`, `/entry`."""
    parent: "FieldSeen | None"
    depth: int
    types: dict[str, TypeSeen] = field(default_factory=dict)
    children: dict[Hashable, "FieldSeen"] = field(default_factory=dict)
    payload_count: int = 0
    last_number: int = -1
    first_at: datetime | None = None
    last_at: datetime | None = None
    container_first: int = 0
    """How many payloads had shown its parent when it was first seen, this one not counted."""
    container_last: int = 0
    """The same, this one included, when it was last seen."""
    longest_gap: int = 0
    """The longest absence between two sightings, in payloads that have the parent."""
    is_map: bool = False
    form: str = ""
    """Of a body's own elements and columns: the type of the bodies that can have them."""

    @property
    def path(self) -> str:
        parts = []
        node: FieldSeen | None = self
        while node is not None and node.parent is not None:
            parts.append(node.label)
            node = node.parent
        text = "".join(reversed(parts))
        return (text[1:] if text[:1] in ("/", ".") else text) if parts else "$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What was seen of one field."""

    path: str
    status: tuple[str, ...]
    """Of `appeared`, `vanished`, `changed type`, `mixed types`; empty where nothing is to tell."""
    payload_count: int
    parent_count: int
    """Payloads in which its parent was seen."""
    first_at: datetime
    last_at: datetime
    missing_count: int
    """Payloads with its parent but without it since it was last seen."""
    types: tuple[TypeSeen, ...]
    """In the order first seen."""

    @property
    def is_drift(self) -> bool:
        return bool(set(self.status) - {"mixed types"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a feed's payloads looked like over time."""

    payload_count: int
    first_at: datetime | None
    last_at: datetime | None
    left_out_count: int
    """Fields beyond `MAX_FIELDS` that were met and not followed, each time they were."""
    too_deep_count: int
    """Payloads with something nested deeper than `MAX_DEPTH`."""
    fields: tuple[Field, ...]
    """By path."""


class Observer:
    """Takes documents in the order of time and says what changed among them."""

    def __init__(self) -> None:
        self._root = FieldSeen("", None, 0)
        self._count = 0
        self._nodes = 1
        self._left_out = 0
        self._too_deep = 0
        self._at: datetime | None = None
        self._until: datetime | None = None
        self._first_at: datetime | None = None
        self._last_at: datetime | None = None
        self._is_too_deep = False
        self._form = ""

    def begin(self, first_at: datetime, last_at: datetime) -> None:
        """Begin with the next payload: when it was first and last received in this form."""
        self._count += 1
        self._at, self._until = first_at, last_at
        self._first_at = min(self._first_at or first_at, first_at)
        self._last_at = max(self._last_at or last_at, last_at)
        self._is_too_deep = False

    def document(self, kind: str) -> None:
        """Say what the body is as a whole, where it is no JSON value: `csv`, `empty`, …"""
        self._form = kind
        self._see(self._root, kind)

    def json(self, value: Any) -> None:
        """See a JSON value and everything in it. No recursion: it may be nested at will."""
        waiting: list[tuple[FieldSeen, Any]] = [(self._root, value)]
        while waiting:
            node, value = waiting.pop()
            kind = _TYPES.get(type(value), "other")
            self._see(node, kind)
            if kind == "object":
                for key, inner in value.items():
                    child = node.children.get(key) or self._keyed(node, key)
                    if child is not None:
                        self._inner(child, inner, waiting)
            elif kind == "array" and value:
                child = node.children.get(_ITEMS) or self._made(node, _ITEMS, "[]")
                if child is not None:
                    for inner in value:
                        self._inner(child, inner, waiting)

    def element(
        self, parent: "FieldSeen | None", name: str, kinds: tuple[str, ...]
    ) -> "FieldSeen | None":
        """See an element, attribute or column below `parent` (None: the body, of which `document`
        has said what it is); return its field."""
        holder = parent or self._root
        form = "" if parent else self._form
        key = ("element", form, name)
        node = holder.children.get(key) or self._made(holder, key, f"/{_label(name)}")
        if node is not None:
            node.form = form
            for kind in kinds:
                self._see(node, kind)
        return node

    def report(self) -> Report:
        """What was seen up to now."""
        return Report(
            payload_count=self._count,
            first_at=self._first_at,
            last_at=self._last_at,
            left_out_count=self._left_out,
            too_deep_count=self._too_deep,
            fields=tuple(sorted(map(self._told, _all(self._root)), key=lambda each: each.path)),
        )

    def _inner(self, node: FieldSeen, value: Any, waiting: list[tuple[FieldSeen, Any]]) -> None:
        kind = _TYPES.get(type(value), "other")
        if kind in _HOLDERS:
            waiting.append((node, value))
            return
        seen = node.types.get(kind)
        if seen is None or seen.last_number != self._count:
            self._see(node, kind)

    def _keyed(self, node: FieldSeen, key: str) -> FieldSeen | None:
        """The field for a key that is not among the node's children."""
        if node.is_map or len(key) > MAX_KEY or _VARYING.fullmatch(key):
            return node.children.get(_ANY) or self._made(node, _ANY, ".*")
        if len(node.children) >= MAP_KEYS and node.depth < MAX_DEPTH:
            self._collapse(node)
            return node.children[_ANY]
        return self._made(node, key, f".{_label(key)}")

    def _made(self, node: FieldSeen, key: Hashable, label: str) -> FieldSeen | None:
        """A new field below `node`; None where there are too many, or it lies too deep."""
        if node.depth >= MAX_DEPTH:
            if not self._is_too_deep:
                self._is_too_deep = True
                self._too_deep += 1
            return None
        if self._nodes >= MAX_FIELDS:
            self._left_out += 1
            return None
        self._nodes += 1
        node.children[key] = made = FieldSeen(label, node, node.depth + 1)
        return made

    def _collapse(self, node: FieldSeen) -> None:
        """Make the keys of `node` one field, `*`."""
        node.is_map = True
        keys = [each for key, each in node.children.items() if isinstance(key, str)]
        kept = {key: each for key, each in node.children.items() if not isinstance(key, str)}
        node.children = kept
        wildcard = kept.get(_ANY)
        if wildcard is None:
            wildcard = kept[_ANY] = FieldSeen(".*", node, node.depth + 1)
        for each in keys:
            _merge(each, wildcard)
        self._nodes = sum(1 for _ in _all(self._root))

    def _see(self, node: FieldSeen, kind: str) -> None:
        number = self._count
        seen = node.types.get(kind)
        if seen is not None and seen.last_number == number:
            return
        assert self._at is not None
        assert self._until is not None
        if seen is None:
            node.types[kind] = TypeSeen(kind, 1, self._at, self._until, number, number)
        else:
            seen.payload_count += 1
            seen.last_number = number
            seen.last_at = max(seen.last_at, self._until)
            seen.first_at = min(seen.first_at, self._at)
        if node.last_number == number:
            return
        # The parent was counted for this payload before: it is seen first.
        containers = _containers(node) if node.parent else number
        if node.payload_count:
            node.longest_gap = max(node.longest_gap, containers - node.container_last - 1)
        else:
            node.container_first = containers - 1
        node.container_last = containers
        node.payload_count += 1
        node.last_number = number
        node.first_at = min(node.first_at or self._at, self._at)
        node.last_at = max(node.last_at or self._until, self._until)

    def _told(self, node: FieldSeen) -> Field:
        assert node.first_at is not None
        assert node.last_at is not None
        parents = _containers(node) if node.parent else self._count
        missing = max(parents - node.container_last, 0)
        status = []
        # That a list is empty is no drift.
        if node.container_first > node.longest_gap and node.label != "[]":
            status.append("appeared")
        if missing > node.longest_gap and node.label != "[]":
            status.append("vanished")
        types = tuple(sorted(node.types.values(), key=lambda each: each.first_number))
        if any(
            earlier.last_number < later.first_number and not {earlier.name, later.name} <= _NUMBERS
            for earlier in types
            for later in types
        ):
            status.append("changed type")
        elif len({_FAMILY.get(each.name, each.name) for each in types} - {"null"}) > 1:
            status.append("mixed types")
        return Field(
            path=node.path,
            status=tuple(status),
            payload_count=node.payload_count,
            parent_count=parents,
            first_at=node.first_at,
            last_at=node.last_at,
            missing_count=missing,
            types=types,
        )


_TYPES: dict[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
_HOLDERS = frozenset({"object", "array"})
# JSON has one kind of number: 1 and 1.0 are no change.
_NUMBERS = frozenset({"integer", "number"})
_FAMILY = {"integer": "number"}
_ITEMS = ("items",)
_ANY = ("any key",)
_PLAIN = re.compile(r"[\w@:#(-][\w@$:#()% -]*")


def _label(name: str) -> str:
    """A name as it stands in a path: quoted where it could be taken for more than a name."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name)


def _containers(node: FieldSeen) -> int:
    """In how many payloads the parent was seen as what can hold this field."""
    assert node.parent is not None
    if node.label == "[]":
        return _counted(node.parent, "array")
    if node.form:
        return _counted(node.parent, node.form)
    if "object" in node.parent.types:
        return _counted(node.parent, "object")
    return node.parent.payload_count


def _counted(node: FieldSeen, kind: str) -> int:
    seen = node.types.get(kind)
    return seen.payload_count if seen else 0


def _all(root: FieldSeen) -> Iterator[FieldSeen]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting.extend(node.children.values())
        if node.payload_count:
            yield node


def _merge(key: FieldSeen, wildcard: FieldSeen) -> None:
    """Add what was seen of one key to what was seen of all; counts are then at least so many."""
    waiting = [(key, wildcard)]
    while waiting:
        part, whole = waiting.pop()
        for kind, seen in part.types.items():
            known = whole.types.get(kind)
            if known is None:
                whole.types[kind] = seen
                continue
            known.payload_count = max(known.payload_count, seen.payload_count)
            known.first_at = min(known.first_at, seen.first_at)
            known.last_at = max(known.last_at, seen.last_at)
            known.first_number = min(known.first_number, seen.first_number)
            known.last_number = max(known.last_number, seen.last_number)
        if part.payload_count:
            is_new = not whole.payload_count
            first = part.container_first
            whole.container_first = first if is_new else min(whole.container_first, first)
            whole.container_last = max(whole.container_last, part.container_last)
            if whole is not wildcard:
                # One key is away while another is there: that is no absence of the map's items.
                whole.longest_gap = max(whole.longest_gap, part.longest_gap)
            whole.payload_count = max(whole.payload_count, part.payload_count)
            whole.last_number = max(whole.last_number, part.last_number)
            whole.first_at = min(filter(None, (whole.first_at, part.first_at)))
            whole.last_at = max(filter(None, (whole.last_at, part.last_at)))
        for name, child in part.children.items():
            into = whole.children.get(name)
            if into is None:
                into = whole.children[name] = FieldSeen(child.label, whole, whole.depth + 1)
            waiting.append((child, into))
