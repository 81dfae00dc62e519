"""What a case is: what a server sends, and the rows that must be in the archive afterwards."""

from dataclasses import dataclass

from .server import Reply, Step


@dataclass(frozen=True, kw_only=True)
class Row:
    """One archived fetch. Status line and headers are those the server sent, unless given."""

    body: bytes | None
    transferred: bytes | None = None
    """After transfer decoding, before content decoding; None: the same bytes as the body."""
    has_response: bool = True
    status: int | None = None
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] | None = None
    truncated: str | None = None
    error: str | None = None
    """How it begins."""
    is_kept_encoded: bool = False
    """Whether the transferred bytes are kept though the feed does not ask for them."""

    @property
    def encoded(self) -> bytes:
        return (self.body or b"") if self.transferred is None else self.transferred

    @property
    def is_whole(self) -> bool:
        return self.has_response and self.error is None


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    replies: tuple[Reply, ...]
    """To one request after the other."""
    rows: tuple[Row, ...]
    url: str = "http://127.0.0.1:{port}/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    times: int = 1
    """How often it is asked, over connections that may stay open."""
    connections: int | None = None
    """How many the server must have seen; None: any number."""
    asked: tuple[str, ...] | None = None
    """The beginnings of the requests that the server must have seen; None: any."""
    timeout: float = 60.0
    max_body: int = 256 * 1024 * 1024
    is_refused: bool = False
    """Whether nothing listens on the port."""


def answered(
    name: str,
    *reply: Step,
    body: bytes | None,
    transferred: bytes | None = None,
    truncated: str | None = None,
    error: str | None = None,
    is_kept_encoded: bool = False,
    status: int | None = None,
    reason: str | None = None,
    headers: tuple[tuple[str, str], ...] | None = None,
    times: int = 1,
    **case,
) -> Case:
    """A case with one reply, and one row for each time it is asked for."""
    row = Row(
        body=body,
        transferred=transferred,
        truncated=truncated,
        error=error,
        is_kept_encoded=is_kept_encoded or error is not None,
        status=status,
        reason=reason,
        headers=headers,
    )
    return Case(name=name, replies=(reply,), rows=(row,) * times, times=times, **case)


def refused(name: str, *reply: Step, error: str, **case) -> Case:
    """A case in which no response is made out: the row has no status, and says why."""
    row = Row(body=None, has_response=False, error=error)
    return Case(name=name, replies=(reply,), rows=(row,), **case)
