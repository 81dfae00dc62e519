"""Where a credential may go: beginnings of addresses, each of one origin."""

from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from ..errors import ExtractorInvalid


@dataclass(frozen=True, slots=True)
class Destination:
    """An origin, and the beginning of a path there."""

    scheme: str
    host: bytes
    port: int | None
    path: str

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """`https://api.example.org/v2`. Raises `ExtractorInvalid`."""
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, TypeError) as error:
            raise ExtractorInvalid(f"to={text!r} is no address: {error}") from None
        if url.scheme not in ("http", "https") or not url.raw_host or url.query or url.userinfo:
            raise ExtractorInvalid(
                f"to={text!r} must be the beginning of an http or https address, such as "
                "https://api.example.org or https://api.example.org/v2"
            )
        return cls(url.scheme, url.raw_host, url.port, url.path.rstrip("/"))

    def covers(self, url: httpx.URL) -> bool:
        """Whether an address begins like this one: same origin, same path or one below it."""
        if (url.scheme, url.raw_host, url.port) != (self.scheme, self.host, self.port):
            return False
        return url.path == self.path or url.path.startswith(f"{self.path}/")


def parse_all(to: str | Iterable[str]) -> tuple[Destination, ...]:
    """One address, or several. Raises `ExtractorInvalid` for none."""
    found = tuple(Destination.parse(each) for each in ([to] if isinstance(to, str) else to))
    if not found:
        raise ExtractorInvalid("to= names no address, so the credential would go nowhere")
    return found
