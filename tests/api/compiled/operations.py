"""Operations at random, over everything in a catalog, as a client might write them.

`operations(catalog)` is a Hypothesis strategy of questions with their variables. Some ask for
what no plan covers, and some for what is refused: these are marked.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import async_to_sync
from graphql import build_schema
from hypothesis import strategies as st
from strawberry.scalars import JSON, Base64
from strawberry.utils.str_converters import to_camel_case

from api.aggregates.questions import groupings, numbers, ordered
from api.filters import _LOOKUPS
from api.scalars import BigInt
from tests.api.compiled.rows import TEXTS

_BOOLEAN = st.booleans()
_POOLS = {
    str: [*TEXTS, "b1", "a0", "A", "%", "_", "\\"],
    int: [0, 1, 7, -1, 2**31 - 1],
    BigInt: [0, 1, "2", 2**53, str(2**63 - 1), str(2**80), f"-{2**70}"],
    float: [0.0, 1, -1.5, 2.0, 1e300],
    "Decimal": ["0", 12.5, "-1.50", "7.000", "1e3"],
    "date": ["2026-01-01", "2026-01-02", "1999-12-31"],
    "datetime": ["2026-01-01T00:00:00Z", "2026-01-01T12:30:01.000005", "1969-07-20T22:17:00+02:00"],
    "time": ["06:00:00", "23:59:59.999999"],
    "UUID": ["00000000-0000-0000-0000-000000000001", "00000000000000000000000000000003"],
}
_ORDERINGS = ["ASC", "DESC", "ASC_NULLS_FIRST", "ASC_NULLS_LAST", "DESC_NULLS_FIRST"]


@dataclass
class Operation:
    """A question and its variables."""

    text: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    is_covered: bool = True
    """Whether a plan has to answer it, if nothing refuses it."""
    places: int = 0
    """How often rows, counts or payloads are selected: as many statements, at most."""


class Name(str):
    """A name in a literal, such as an enum's: written without quotes."""


class Variable(str):
    """A variable in a literal."""


def literal(value):
    """A value as GraphQL writes it in a document."""
    if isinstance(value, Variable):
        return f"${value}"
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value)


def operations(api, entities):
    """A strategy of operations on these entities."""
    types = build_schema(api.schema.as_str()).type_map
    return st.composite(lambda draw: _Writer(draw, api, types, entities).write())()


def filters_of(api, entity):
    """A strategy of an entity and a filter of it, without variables."""

    def write(draw):
        writer: Any = _Writer(draw, api, {}, [entity])
        writer.variable = lambda kind, value: value
        # SQLite's driver raises for larger numbers, in a list as well.
        plain = writer.plain
        writer.plain = lambda scalar: 7 if scalar is BigInt else plain(scalar)
        return entity, writer.filters(entity, 2) or {}

    return st.composite(write)()


class _Writer:
    def __init__(self, draw, api, types, entities):
        self.draw = draw
        self.types = types
        self.catalog = api.catalog
        self.schema = api.schema
        self.entities = entities
        self.made = Operation()
        self.declared = {}
        self.fragments = {}
        self.aliases = 0

    def chance(self, percent):
        # Hypothesis draws the ends of a range most often: neither is a yes.
        return 0 < self.draw(st.integers(0, 100)) <= percent

    def one_of(self, options):
        return options[self.draw(st.integers(0, len(options) - 1))]

    def write(self):
        roots = [self.root() for _ in range(self.draw(st.integers(1, 3)))]
        if self.chance(4):
            roots.append(self.uncovered("feeds { name }"))
        if self.chance(2):
            roots.append(self.uncovered('__type(name: "Query") { name }'))
        if self.chance(5):
            roots.append("__typename")
        declared = ", ".join(f"${name}: {kind}" for name, kind in self.declared.items())
        head = f"query Q({declared})" if declared else self.one_of(["", "query", "query Q"])
        fragments = [
            f"fragment {name} on {kind} {{ {body} }}"
            for name, (kind, body, _) in self.fragments.items()
        ]
        self.made.text = "\n".join([f"{head} {{ {' '.join(roots)} }}", *fragments])
        return self.made

    def uncovered(self, text):
        self.made.is_covered = False
        return text

    def alias(self, percent=30):
        if not self.chance(percent):
            return ""
        self.aliases += 1
        return f"a{self.aliases}: "

    def root(self):
        entity = self.one_of(self.entities)
        names = entity.names
        kind = self.draw(st.integers(0, 9))
        self.made.places += 1
        # An alias for each: two fields of one name have to have equal arguments.
        self.aliases += 1
        alias = f"r{self.aliases}: "
        if kind < 2:
            return f"{alias}{names.count}{self.arguments(entity, is_count=True)}"
        if kind < 4 and names.one:
            keys = [entity.column(attname) for attname in entity.key]
            given = {key.name: self.value(key.scalar) for key in keys}
            arguments = ", ".join(f"{name}: {literal(value)}" for name, value in given.items())
            return f"{alias}{names.one}({arguments}) {self.selection(entity, 3)}"
        if kind == 8 and entity.source:
            # The rows that keys lead to, beside the groups.
            self.made.places += 2
            return f"{alias}{names.aggregate}{self.grouping(entity)}"
        if kind == 9:
            self.made.places += 2
            return (
                f"{alias}{names.connection}{self.by_cursor(entity)} {self.page_selection(entity)}"
            )
        return f"{alias}{names.many}{self.arguments(entity)} {self.selection(entity, 3)}"

    def grouping(self, entity):
        known = groupings(entity)
        chosen = [self.one_of(known) for _ in range(self.draw(st.integers(0, 2)))]
        given = {"groupBy": [Name(each.name) for each in chosen]}
        if self.chance(40):
            given["filters"] = self.filters(entity, 1)
        if self.chance(40):
            given["first"] = self.draw(st.integers(0, 4))
        sums, extremes = numbers(entity), ordered(entity)
        orders: list[Any] = [{"count": Name(self.one_of(_ORDERINGS))}]
        orders += [{"key": {each.name: Name(self.one_of(_ORDERINGS))}} for each in chosen]
        if extremes:
            orders.append({"max": {self.one_of(extremes).name: Name("DESC")}})
        if self.chance(40):
            given["order"] = [self.one_of(orders)]
        parts = ["count", "t: __typename"]
        parts += [f"{self.alias()}key {{ {each.name} }}" for each in chosen]
        for each in chosen:
            for relation in entity.relations:
                if each.name == entity.column(relation.own).name and not relation.is_list:
                    below = self.selection(self.catalog[relation.target], 1)
                    parts.append(f"key {{ {relation.name} {below} }}")
        if sums:
            parts += [f"sum {{ {self.one_of(sums).name} }}", f"avg {{ {self.one_of(sums).name} }}"]
        if extremes:
            parts += [f"{f} {{ {self.one_of(extremes).name} }}" for f in ("min", "max")]
            parts.append(f"quantiles(p: [0.5, 1]) {{ {self.one_of(extremes).name} }}")
        body = " ".join(part + self.switch() for part in parts[:1] + parts[2:] if self.chance(60))
        page = self.one_of(["", "pageInfo { hasNextPage endCursor }", "totalCount answeredBy"])
        arguments = ", ".join(f"{name}: {literal(value)}" for name, value in given.items())
        return f"({arguments}) {{ nodes {{ {body} {parts[1]} }} {page} }}"

    def by_cursor(self, entity):
        given = {}
        if self.chance(40):
            given["filters"] = self.filters(entity, 1)
        order = self.orders(entity) if self.chance(60) else []
        given["order"] = order
        names = ("first", "after") if self.chance(60) else ("last", "before")
        if self.chance(80):
            given[names[0]] = self.draw(st.integers(0, 4))
        if self.chance(60):
            given[names[1]] = self.cursor(entity, order)
        return "(" + ", ".join(f"{name}: {literal(value)}" for name, value in given.items()) + ")"

    def cursor(self, entity, order):
        """The cursor of some row, in this order or, rarely, in that of the key."""
        asked = None if self.chance(5) else order
        variables = {"order": json.loads(json.dumps(asked))}
        text = (
            f"query ($order: [{entity.names.order}!]) "
            f"{{ c: {entity.names.connection}(order: $order) {{ edges {{ cursor }} }} }}"
        )
        found = async_to_sync(self.schema.execute)(text, variable_values=variables)
        edges = found.data["c"]["edges"] if found.data else []
        if not edges or self.chance(3):
            return "no cursor"
        return self.variable("String", self.one_of(edges)["cursor"])

    def page_selection(self, entity):
        bound = self.draw(st.integers(1, 9))
        count = f"count(mode: CAPPED, upTo: {bound}) {{ value isExact mode }}"
        parts = [
            lambda: f"nodes {self.selection(entity, 2)}",
            lambda: f"{self.alias()}edges {{ cursor n: node {self.selection(entity, 1)} }}",
            lambda: "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }",
            lambda: f"totalCount{self.switch()} __typename",
            lambda: count,
        ]
        chosen = {self.draw(st.integers(0, len(parts) - 1)) for _ in range(3)}
        return "{ " + " ".join(parts[number]() for number in sorted(chosen)) + " }"

    def selection(self, entity, depth):
        return "{ " + self.body(entity, depth) + " }"

    def body(self, entity, depth):
        parts = [self.field(entity, depth) for _ in range(self.draw(st.integers(1, 4)))]
        return " ".join(parts)

    def field(self, entity, depth):
        kind = self.draw(st.integers(0, 19))
        if kind < 2 and depth > 0:
            return self.fragment(entity, depth)
        links = [each for each in entity.relations if each.name in self.shown(entity)]
        if kind < 9 and depth > 0 and links:
            return self.link(self.one_of(links), depth)
        if kind == 9 and entity.is_rollup:
            self.made.places += 1
            return f"{self.alias()}build {{ refresh inputs builtAt t: __typename again: inputs }}"
        if kind == 9 and entity.has_lineage:
            self.made.places += 1
            return f"{self.alias()}payload {{ url headers {{ name }} t: __typename bodySize }}"
        if kind == 10:
            return f"{self.alias()}__typename{self.switch()}"
        if kind == 11 and entity.names.type in ("Bed", "Label") and self.chance(50):
            return self.uncovered("caption" if entity.names.type == "Bed" else "letterCount")
        columns = [column for column in entity.columns if column.name in self.shown(entity)]
        return f"{self.alias()}{self.one_of(columns).name}{self.switch()}"

    def shown(self, entity):
        return self.types[entity.names.type].fields

    def link(self, relation, depth):
        target = self.catalog[relation.target]
        self.made.places += 1
        if not relation.is_list:
            return f"{relation.name}{self.switch()} {self.selection(target, depth - 1)}"
        self.aliases += 1
        alias = f"l{self.aliases}: "
        if self.chance(25):
            arguments = self.arguments(target, is_count=True)
            return f"{alias}{relation.name}Count{arguments}{self.switch()}"
        below = self.selection(target, depth - 1)
        return f"{alias}{relation.name}{self.arguments(target)}{self.switch()} {below}"

    def fragment(self, entity, depth):
        kind = entity.names.type
        known = [name for name, (on, _, _) in self.fragments.items() if on == kind]
        if known and self.chance(50):
            name = self.one_of(known)
            self.made.places += self.fragments[name][2]
            return f"...{name}{self.switch()}"
        before = self.made.places
        body = self.body(entity, depth - 1)
        if self.chance(50):
            on = self.one_of([f" on {kind}", ""])
            return f"...{on}{self.switch()} {{ {body} }}"
        name = f"F{len(self.fragments)}"
        self.fragments[name] = (kind, body, self.made.places - before)
        return f"...{name}{self.switch()}"

    def switch(self):
        if not self.chance(12):
            return ""
        condition = self.draw(_BOOLEAN)
        if self.chance(60):
            condition = self.variable("Boolean!", condition)
        return f" @{self.one_of(['include', 'skip'])}(if: {literal(condition)})"

    def variable(self, kind, value):
        name = f"v{len(self.declared)}"
        if self.chance(15) and kind == "Boolean!":
            self.declared[name] = f"Boolean! = {literal(value)}"
            return Variable(name)
        self.declared[name] = kind
        self.made.variables[name] = value
        return Variable(name)

    def arguments(self, entity, is_count=False):
        given = {}
        if self.chance(55):
            given["filters"] = self.filters(entity, 2)
        if not is_count and self.chance(45):
            given["order"] = self.orders(entity)
        if not is_count and self.chance(45):
            given["pagination"] = self.page()
        if not given:
            return ""
        for name, kind in (
            ("filters", entity.names.filter),
            ("order", f"[{entity.names.order}!]"),
            ("pagination", "Pagination"),
        ):
            if name in given and self.chance(25):
                value = _as_json(given[name])
                if value is not None:
                    given[name] = self.variable(kind, value)
        return "(" + ", ".join(f"{name}: {literal(value)}" for name, value in given.items()) + ")"

    def filters(self, entity, depth):
        if self.chance(3):
            return None
        found = {}
        for _ in range(self.draw(st.integers(0, 2))):
            column = self.one_of(entity.columns)
            if column.name not in found:
                found[column.name] = self.lookups(column.scalar)
        if depth and entity.relations and self.chance(30):
            relation = self.one_of(entity.relations)
            found[relation.name] = self.filters(self.catalog[relation.target], depth - 1)
        if depth and self.chance(25):
            join = self.one_of(["AND", "OR", "NOT"])
            count = self.draw(st.integers(0, 2))
            found[join] = [self.filters(entity, depth - 1) or {} for _ in range(count)]
        return found

    def lookups(self, scalar):
        names = [
            definition.python_name
            for definition in _LOOKUPS[scalar].__strawberry_definition__.fields  # type: ignore[attr-defined]
        ]
        found = {}
        for name in sorted({self.one_of(names) for _ in range(self.draw(st.integers(1, 2)))}):
            if self.chance(3):
                value = None
            elif name == "is_null":
                value = self.draw(_BOOLEAN)
            elif name == "in_list":
                value = [self.plain(scalar) for _ in range(self.draw(st.integers(0, 3)))]
                if self.chance(1):
                    value = [self.plain(scalar)] * 1001
            else:
                value = self.value(scalar)
            found[to_camel_case(name)] = value
        return found

    def value(self, scalar):
        value = self.plain(scalar)
        if self.chance(30):
            return self.variable(f"{_graphql(scalar)}!", value)
        return value

    def plain(self, scalar):
        if scalar is bool:
            return self.draw(_BOOLEAN)
        return self.one_of(_POOLS.get(scalar) or _POOLS.get(scalar.__name__) or ["x"])

    def orders(self, entity):
        return [self.order(entity) for _ in range(self.draw(st.integers(0, 2)))]

    def order(self, entity, depth=1):
        links = [relation for relation in entity.relations if not relation.is_list]
        if depth and links and self.chance(30):
            relation = self.one_of(links)
            return {relation.name: self.order(self.catalog[relation.target], depth - 1)}
        column = self.one_of([column for column in entity.columns if column.is_sortable])
        return {column.name: Name(self.one_of(_ORDERINGS))}

    def page(self):
        if self.chance(4):
            return self.one_of([{"limit": 1001}, {"offset": -1}, {"limit": -1}, None])
        page = {}
        if self.chance(70):
            page["limit"] = self.draw(st.integers(0, 5))
        if self.chance(40):
            page["offset"] = self.draw(st.integers(0, 4))
            if self.chance(30):
                page["offset"] = self.variable("Int!", page["offset"])
        return page


def _graphql(scalar):
    special = {str: "String", int: "Int", bool: "Boolean", float: "Float", BigInt: "BigInt"}
    special |= {JSON: "JSON", Base64: "Base64"}
    names = {"date": "Date", "datetime": "DateTime", "time": "Time"}
    return special.get(scalar) or names.get(scalar.__name__) or scalar.__name__


def _as_json(value):
    """A literal as the JSON of a variable; nothing where it holds variables itself."""
    return None if "$" in literal(value) else json.loads(json.dumps(value))
