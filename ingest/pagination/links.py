"""The `Link` header (RFC 8288): where a page says what it is related to."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import httpx

_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(
    r"""\s*;\s*(?P<name>[^\s=;,"]+)(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s;,"]*)))?"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link: its target as written, and its parameters by lower-case name, the first of each."""

    target: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def relations(self) -> frozenset[str]:
        """In lower case: relations do not mind the case."""
        return frozenset(self.parameters.get("rel", "").lower().split())


def parse(values: Iterable[str]) -> Iterator[Link]:
    """The links in the values of all `Link` headers; what is none is passed over."""
    for value in values:
        at = 0
        while found := _TARGET.match(value, at):
            at = found.end()
            parameters: dict[str, str] = {}
            while given := _PARAMETER.match(value, at):
                at = given.end()
                quoted = given["quoted"]
                said = given["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                # Of a repeated parameter the first counts (RFC 8288, 3.3).
                parameters.setdefault(given["name"].lower(), said or "")
            yield Link(target=found[1].strip(), parameters=parameters)
            # Whatever is unreadable ends this link, and the next one begins after a comma.
            comma = value.find(",", at)
            if comma < 0:
                break
            at = comma


def linked(values: Iterable[str], relation: str, base: str) -> str | None:
    """The first target of this relation to the page itself, as an absolute address."""
    page = httpx.URL(base)
    for link in parse(values):
        if relation.lower() not in link.relations:
            continue
        anchor = link.parameters.get("anchor")
        if anchor and page.join(anchor).copy_with(fragment=None) != page.copy_with(fragment=None):
            # It speaks of another page.
            continue
        return str(page.join(link.target))
    return None
