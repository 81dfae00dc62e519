"""Our own reader of HTTP/1.1 against h11, a strict one by other people: whatever comes, in whatever
pieces, both take the same response from it, or both refuse it."""

import asyncio
from dataclasses import dataclass

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.wire.connection import Connection
from ingest.wire.errors import NotHttp
from ingest.wire.head import MOST_LINES, read_lines

from .replies import BODY, chunked, head, sized


class Sink(asyncio.Transport):
    """Where a request goes that nobody answers but the test."""

    def write(self, data):
        """Is not sent."""

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        """Has nothing to close."""

    def pause_reading(self):
        """The test goes on."""

    def resume_reading(self):
        """The test goes on."""


@dataclass
class Taken:
    """What a reader took from some bytes."""

    head: tuple[int, bytes, list[tuple[bytes, bytes]]] | None
    body: bytes
    is_whole: bool
    may_be_kept: bool


def by_ours(pieces: list[bytes], method: str) -> Taken:
    async def read() -> Taken:
        connection = Connection()
        connection.connection_made(Sink())
        connection.ask(b"", method, timeout=60, deadline=60)
        for piece in pieces:
            connection.data_received(piece)
        may_be_kept = connection._may_be_kept and connection.is_whole
        connection.eof_received()
        connection.connection_lost(None)
        found = connection.head and (
            connection.head.status,
            connection.head.reason.encode("latin-1"),
            [(n.encode("latin-1"), v.encode("latin-1")) for n, v in connection.head.headers],
        )
        body = connection.take()
        connection.release()
        return Taken(found, body, connection.is_whole, may_be_kept)

    return asyncio.run(read())


def by_h11(pieces: list[bytes], method: str) -> Taken:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=100 * 1024)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    taken = Taken(None, b"", False, False)
    for piece in [*pieces, b""]:
        if taken.is_whole:
            break
        try:
            connection.receive_data(piece)
            _read_events(connection, taken)
        except h11.RemoteProtocolError:
            break
    if taken.is_whole:
        left, _ = connection.trailing_data
        taken.may_be_kept = connection.their_state is h11.DONE and not left
    return taken


def _read_events(connection: h11.Connection, taken: Taken) -> None:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            taken.head = (event.status_code, event.reason, list(event.headers.raw_items()))
        elif isinstance(event, h11.Data):
            taken.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            taken.is_whole = True
            return
        elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
            if event is h11.PAUSED and connection.their_state is h11.SWITCHED_PROTOCOL:
                raise h11.RemoteProtocolError("101 was not asked for")
            return


def as_h11_tells(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers as h11 rewrites them; ours are as they were sent."""
    found, has_length = [], False
    for name, value in headers:
        if name.lower() == b"content-length":
            if not has_length:
                found.append((name, value.split(b",")[0].strip(b" \t")))
            has_length = True
        elif name.lower() == b"transfer-encoding":
            found.append((name, value.lower()))
        else:
            found.append((name, value))
    return found


SEEDS = [
    sized(BODY[:50], "ETag: a", "X-B:  c d  "),
    sized(b"", status="HTTP/1.1 204 No Content"),
    sized(b"{}", "Connection: keep-alive, Close") + b"more",
    head("Content-Length: 2, 2", "content-length: 2") + b"{}",
    head("Content-Length: 5", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    chunked(b"one", b"two" * 9, extension=b";a=b", trailers=(b"X-T: 1",)),
    head("X-Folded: one", " two", "\tthree") + b"until the end",
    head("X-A: 1", end=b"\n") + b"body",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + sized(b"{}"),
    head("Content-Length: 2", status="HTTP/1.0 200 OK") + b"{}",
    b"HTTP/1.1 101 Switching\r\n\r\n",
    head("TRANSFER-ENCODING: CHUNKED") + b"A\r\n0123456789\r\n000\r\n\r\n",
]
_SCRAPS = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"2",
           b"f", b"-1", b"\xe9", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 3\r\n", b"\x0b",
           b"chunked"]  # fmt: skip


@st.composite
def responses(draw) -> tuple[list[bytes], str]:
    """A response with some mistakes in it, in pieces, and the method it answers."""
    sent = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(sent)))
        gone = draw(st.integers(0, 3))
        scrap = draw(st.sampled_from([b"", *_SCRAPS]))
        sent = sent[:at] + scrap + sent[at + gone :]
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    method = draw(st.sampled_from(["GET", "GET", "GET", "HEAD"]))
    return [piece for piece in pieces if piece], method


@settings(max_examples=400, deadline=None)
@given(responses())
@example(([b"HTTP/1.1 200 OK\r\nA: b\n", b"\r\n{}"], "GET"))
@example(([b"HTTP/1.0 200 OK\r\n\n\r\n{}"], "GET"))
@example(([b"HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\r\n\nbody"], "GET"))
@example(([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"\r", b"\n"], "GET"))
def test_both_take_the_same_response_or_refuse_it(given_response):
    pieces, method = given_response

    ours, theirs = by_ours(pieces, method), by_h11(pieces, method)

    assert ours.is_whole == theirs.is_whole
    assert ours.body == theirs.body
    assert (ours.head is None) == (theirs.head is None)
    if ours.head and theirs.head:
        assert ours.head[:2] == theirs.head[:2]
        assert as_h11_tells(ours.head[2]) == theirs.head[2]
    # Ours may distrust a connection that h11 would keep, never the other way about.
    assert theirs.may_be_kept or not ours.may_be_kept


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_response_is_the_same_wherever_it_is_cut(cut):
    sent = chunked(b"x" * 200, b"{}", lines=("X-A: 1",), trailers=(b"T: 1",))

    whole, cut_up = by_ours([sent], "GET"), by_ours([sent[:cut], sent[cut:]], "GET")

    assert (cut_up.head, cut_up.body) == (whole.head, b"x" * 200 + b"{}")
    assert cut_up.is_whole


def test_more_header_lines_than_anybody_needs_are_refused():
    with pytest.raises(NotHttp, match="more than 2,500 header lines"):
        read_lines("A: b\r\n" * (MOST_LINES + 1))
