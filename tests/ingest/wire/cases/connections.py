"""Connections that fail: refused, closed, reset, silent, slow; and TLS that does not come about."""

import zlib

from ..case import answered, refused
from ..replies import BODY, GZIP, chunked, head, sized
from ..server import Pause, Then

HALF = len(BODY) // 2
TLS = "https://127.0.0.1:{port}/"
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
GONE = "disconnect: "

CASES = [
    refused("nothing listens", error="connect: ", is_refused=True),
    refused(
        "closed before any byte",
        Then.CLOSE,
        error="disconnect: Server disconnected without sending a response",
    ),
    refused("closed within the status line", b"HTTP/1.1 2", Then.CLOSE, error="disconnect: "),
    refused(
        "closed within the headers",
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\n",
        Then.CLOSE,
        error="disconnect: ",
    ),
    refused("reset before any byte", Then.RESET, error=GONE),
    refused("reset within the headers", b"HTTP/1.1 200 OK\r\nX-A: 1\r\n", Then.RESET, error=GONE),
    answered(
        "reset before the body",
        sized(b"", length=10),
        Then.RESET,
        body=b"",
        truncated="disconnect",
        error=GONE,
    ),
    answered(
        "reset in the body",
        sized(BODY[:HALF], length=len(BODY)),
        Then.RESET,
        body=BODY[:HALF],
        truncated="disconnect",
        error=GONE,
    ),
    answered(
        "reset in a chunk",
        head("Transfer-Encoding: chunked") + b"fff\r\n" + BODY[:HALF],
        Then.RESET,
        body=BODY[:HALF],
        truncated="disconnect",
        error=GONE,
    ),
    answered(
        "reset in an encoded body",
        sized(GZIP[:40], "Content-Encoding: gzip", length=len(GZIP)),
        Then.RESET,
        body=zlib.decompressobj(wbits=31).decompress(GZIP[:40]),
        transferred=GZIP[:40],
        truncated="disconnect",
        error=GONE,
    ),
    answered(
        "reset where only the end tells the length",
        head() + BODY[:HALF],
        Then.RESET,
        body=BODY[:HALF],
        truncated="disconnect",
        error=GONE,
    ),
    answered("reset after the whole body", sized(BODY), Then.RESET, body=BODY),
    answered(
        "a slow drip",
        *(piece for byte in sized(b"slow but sure") for piece in (bytes([byte]), Pause(0.01))),
        body=b"slow but sure",
        timeout=2.0,
    ),
    answered(
        "a pause between chunks",
        chunked(BODY)[:-500],
        Pause(0.3),
        chunked(BODY)[-500:],
        body=BODY,
        timeout=2.0,
    ),
    refused("silence before the status line", Then.SILENCE, error="timeout: ", timeout=2.0),
    refused(
        "silence in the headers",
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\n",
        Then.SILENCE,
        error="timeout: ",
        timeout=2.0,
    ),
    refused(
        "silence after 103",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        Then.SILENCE,
        error="timeout: ",
        timeout=2.0,
    ),
    answered(
        "silence before the body",
        sized(b"", length=10),
        Then.SILENCE,
        body=b"",
        truncated="time",
        error="timeout: ",
        timeout=2.0,
    ),
    answered(
        "silence in the body",
        sized(BODY[:HALF], length=len(BODY)),
        Then.SILENCE,
        body=BODY[:HALF],
        truncated="time",
        error="timeout: ",
        timeout=2.0,
    ),
    answered(
        "silence before the last chunk",
        chunked(BODY)[:-5],
        Then.SILENCE,
        body=BODY,
        truncated="time",
        error="timeout: ",
        timeout=2.0,
    ),
    refused(
        "TLS asked of a server without it",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        Then.CLOSE,
        url=TLS,
        error="connect: ",
    ),
    refused("TLS refused with an alert", ALERT, Then.CLOSE, url=TLS, error="connect: "),
    refused("TLS, and the connection is closed", Then.CLOSE, url=TLS, error="connect: "),
]
