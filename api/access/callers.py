"""Callers: who asks, told by what they may and which sources they see."""

from dataclasses import dataclass

READ, SQL, ADMIN = "read", "sql", "admin"
SCOPES = {
    READ: "ask GraphQL, see the pages, download payload bodies",
    SQL: "run SQL statements that read",
    ADMIN: "everything, and the schema where introspection is off",
}
"""What a token may be given, and what each allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Someone who asks."""

    name: str
    """The token's name; for people without one, what they are: `anonymous` or `nobody`."""
    scopes: frozenset[str]
    sources: frozenset[str] | None = None
    """The sources that they see; null for all of them."""
    refusal: str = ""
    """Why they may nothing, where that is so: what to do about it."""

    def may(self, scope: str) -> bool:
        """Whether they hold a scope; `admin` holds every one."""
        return scope in self.scopes or ADMIN in self.scopes

    def sees(self, source: str | None) -> bool:
        """Whether a source's data is theirs to see. No source: the program's own tables,
        which tell of every source."""
        return self.sources is None or source in self.sources

    @property
    def role(self) -> str:
        """What answers depend on, as a text: two callers of one role get the same ones."""
        seen = "*" if self.sources is None else ",".join(sorted(self.sources))
        return f"{','.join(sorted(self.scopes))};{seen}"


def nobody(refusal: str) -> Caller:
    """Someone who may nothing, and why."""
    return Caller(name="nobody", scopes=frozenset(), refusal=refusal)
