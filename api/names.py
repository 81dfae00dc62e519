"""The names of the schema: camelCase of what the source calls things, and an honest plural.

A name that two things want is prefixed with the source, for all of them alike,
so that adding a third does not rename the second.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from strawberry.utils.str_converters import to_camel_case

from .errors import SchemaError

_IRREGULAR = {
    "child": "children",
    "foot": "feet",
    "goose": "geese",
    "half": "halves",
    "knife": "knives",
    "leaf": "leaves",
    "life": "lives",
    "loaf": "loaves",
    "man": "men",
    "mouse": "mice",
    "person": "people",
    "shelf": "shelves",
    "thief": "thieves",
    "tooth": "teeth",
    "wife": "wives",
    "wolf": "wolves",
    "woman": "women",
    "hero": "heroes",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "echo": "echoes",
    "quiz": "quizzes",
}
_SAME = {"data", "equipment", "fish", "information", "news", "series", "sheep", "species"}


AGGREGATE_SUFFIXES = (
    *("Groups", "Group", "GroupBy", "GroupKey", "GroupOrder", "GroupKeyOrder", "NumberOrder"),
    *("ExtremeOrder", "Sums", "Averages", "Extremes", "Quantiles"),
)
"""What the types of an entity's aggregates are called, behind its own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What one model or rollup is called in GraphQL."""

    type: str
    """The object type; its inputs are called `…Filter` and `…Order`."""
    many: str
    """The list field."""
    one: str | None
    """The field by key; null where there is none."""

    @property
    def count(self) -> str:
        return f"{self.many}Count"

    @property
    def connection(self) -> str:
        """The field that gives its rows by cursor."""
        return f"{self.many}Connection"

    @property
    def connection_type(self) -> str:
        return f"{self.type}Connection"

    @property
    def edge_type(self) -> str:
        return f"{self.type}Edge"

    @property
    def aggregate(self) -> str:
        """The field that gives numbers of its rows, by group."""
        return f"{self.many}Aggregate"

    @property
    def groups_type(self) -> str:
        return f"{self.type}Groups"

    @property
    def filter(self) -> str:
        return f"{self.type}Filter"

    @property
    def order(self) -> str:
        return f"{self.type}Order"

    def all(self) -> list[str]:
        """Every name this takes, in the one space that types and root fields share here."""
        found = [self.type, self.filter, self.order, self.many, self.count]
        found += [self.connection, self.connection_type, self.edge_type, self.aggregate]
        found += [f"{self.type}{suffix}" for suffix in AGGREGATE_SUFFIXES]
        return [*found, self.one] if self.one else found

    def prefixed(self, source: str) -> "Names":
        """The same names behind the source's."""
        head = field_name(source)
        return Names(
            type=type_name(source) + self.type,
            many=head + _upper_first(self.many),
            one=head + _upper_first(self.one) if self.one else None,
        )


def field_name(name: str) -> str:
    """The camelCase of a Python, SQL or class name: `fx_rate`, `FxRate` → `fxRate`."""
    camel = to_camel_case(name)
    # An acronym in front is one word: USState → usState, URL → url.
    return re.sub(r"^[A-Z]+(?=[A-Z][a-z])|^[A-Z]+", lambda match: match[0].lower(), camel)


def type_name(name: str) -> str:
    """The PascalCase of a Python or SQL name: `quakes_daily` → `QuakesDaily`."""
    return _upper_first(to_camel_case(name))


def plural(name: str) -> str:
    """The English plural of a camelCase name's last word: `fxRate` → `fxRates`."""
    match = re.search(r"[A-Za-z][a-z]*$", name)
    if match is None:
        return f"{name}s"
    head, word = name[: match.start()], match[0]
    lowered = word.lower()
    if lowered in _SAME:
        return name
    if lowered in _IRREGULAR:
        many = _IRREGULAR[lowered]
        return head + (many if word[0].islower() else _upper_first(many))
    if lowered.endswith("sis"):
        return f"{name[:-2]}es"
    if lowered.endswith(("ss", "us", "is", "as", "x", "z", "ch", "sh")):
        return f"{name}es"
    if lowered.endswith("s"):
        return name
    if re.search(r"[^aeiou]y$", lowered):
        return f"{name[:-1]}ies"
    return f"{name}s"


def settle(wanted: Iterable[tuple[str | None, Names]], reserved: Collection[str]) -> list[Names]:
    """Give each the names it wants, behind its source's where others want them too.

    `wanted` pairs a source with names; null for the program's own, which never change.
    Raises `SchemaError` where two still want the same.
    """
    pairs = list(wanted)
    takers = Counter(name for _, names in pairs for name in set(names.all()))
    settled = [
        names.prefixed(source)
        if source and any(takers[name] > 1 or name in reserved for name in names.all())
        else names
        for source, names in pairs
    ]
    taken: dict[str, str] = dict.fromkeys(reserved, "the program itself")
    for (source, _), names in zip(pairs, settled, strict=True):
        owner = f"{source or 'the program'}'s {names.type}"
        for name in names.all():
            if name in taken:
                raise SchemaError(
                    f"{owner} and {taken[name]} are both called {name} in GraphQL. "
                    "Rename the model or the rollup, or set its verbose_name_plural."
                )
        taken.update(dict.fromkeys(names.all(), owner))
    return settled


def _upper_first(name: str) -> str:
    return name[:1].upper() + name[1:]
