"""What only the author of a source knows about its secrets: the rules of one extractor."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from ..errors import ExtractorInvalid

_HOLE = "{secret}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Rules for one feed, beside those that always hold.

        @extractor("chat.updates", secrets=Secrets(paths=["/bot{secret}/"], fields=["pin"]))

    Names are compared without regard to case, hyphens and underscores. Raises
    `ExtractorInvalid` for a rule that cannot work.
    """

    parameters: Sequence[str] = ()
    """Names of parameters in addresses and forms, of cookies that are no secret when in `keep`."""
    headers: Sequence[str] = ()
    """Names of headers, of requests and responses."""
    fields: Sequence[str] = ()
    """Names of fields in JSON, XML and multipart bodies, of requests and responses."""
    paths: Sequence[str] = ()
    """Parts of an address's path; `{secret}` stands for what is masked, up to the next slash or
    the text that follows it: `/bot{secret}/`."""
    patterns: Sequence[str] = ()
    """Regular expressions, masked wherever they match: addresses, headers, bodies of requests and
    responses. Where one has a group, that group is masked and the rest stays."""
    token_endpoints: Sequence[str] = ()
    """Beginnings of addresses whose answers are archived without their bodies."""
    keep: Sequence[str] = ()
    """Names that are no secret here, whatever they sound like: `keep=["key"]`."""

    def __post_init__(self) -> None:
        for each in fields(self):
            given = getattr(self, each.name)
            if isinstance(given, str) or not all(isinstance(one, str) and one for one in given):
                raise ExtractorInvalid(
                    f"{each.name}= is a list of texts, {each.name}=[…]; got {given!r}"
                )
        for path in self.paths:
            if _HOLE not in path or not path.startswith("/"):
                raise ExtractorInvalid(
                    f"paths= need a / at the start and {_HOLE} within; got {path!r}"
                )
        for pattern in self.patterns:
            try:
                found = re.compile(pattern).search("")
            except re.error as error:
                raise ExtractorInvalid(f"patterns= holds {pattern!r}: {error}") from None
            if found:
                raise ExtractorInvalid(f"patterns= holds {pattern!r}, which matches an empty text")

    def path_patterns(self) -> list["re.Pattern[str]"]:
        """`paths` as regular expressions, one group for each `{secret}`."""
        found = []
        for path in self.paths:
            parts = [re.escape(part) for part in path.split(_HOLE)]
            # At the end of a rule the secret goes as far as its segment; before text, up to it.
            inner = "([^/?#]+?)".join(parts[:-1])
            found.append(re.compile(f"{inner}([^/?#]+{'?' if parts[-1] else ''}){parts[-1]}"))
        return found


NO_RULES = Secrets()
