"""A server that does everything wrong that servers do, and still has pages to give.

Its pages follow each other by `next`. Each is given in a way of its own that no client likes, or
is given only after it was refused in some way once or a few times.
"""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from ..origin import Answer, Asked, Origin, response, then_reset, then_silence

PAGES = 16


class HostileOrigin(Origin):
    """Pages at `/page/1` to `/page/16`; the way in which each misbehaves is beside it below."""

    def __init__(self) -> None:
        super().__init__()
        self.times: Counter[str] = Counter()
        for number in range(1, PAGES + 1):
            self.answers[f"/page/{number}"] = [self._page(number)]

    def _page(self, number: int):
        async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
            self.times[asked.target] += 1
            misbehave = WAYS.get(number)
            sent = misbehave(self, self.times[asked.target], asked) if misbehave else None
            if sent is None:
                sent = response(self.body(number), "Content-Type: application/json")
            if isinstance(sent, bytes):
                writer.write(sent)
            else:
                await sent(asked, writer)

        return answer

    def body(self, number: int) -> bytes:
        following = f"/page/{number + 1}" if number < PAGES else None
        return json.dumps({"number": number, "next": following}).encode()


Way = Callable[[HostileOrigin, int, Asked], Answer | None]


def busy(origin: HostileOrigin, times: int, asked: Asked):
    if times == 1:
        return response(b"", "Retry-After: 1", status="429 Too Many Requests")


def busy_until(origin: HostileOrigin, times: int, asked: Asked):
    now = datetime.now(UTC)
    until = format_datetime(now + timedelta(seconds=1), usegmt=True)
    if times == 1:
        date = f"Date: {format_datetime(now, usegmt=True)}"
        return response(b"", f"Retry-After: {until}", date, status="503 Service Unavailable")


def burst_of_5xx(origin: HostileOrigin, times: int, asked: Asked):
    statuses = ("500 Internal Server Error", "502 Bad Gateway", "504 Gateway Timeout")
    return response(b"oops", status=statuses[times - 1]) if times <= 3 else None


def cookie_gate(origin: HostileOrigin, times: int, asked: Asked):
    if "passed=yes" in (asked.header("cookie") or ""):
        return None
    return response(
        b"", "Set-Cookie: passed=yes; Path=/", f"Location: {asked.target}", status="302 Found"
    )


def slow_drip(origin: HostileOrigin, times: int, asked: Asked):
    async def drip(asked: Asked, writer: asyncio.StreamWriter) -> None:
        for byte in response(origin.body(5)):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.002)

    return drip


def cut_gzip(origin: HostileOrigin, times: int, asked: Asked):
    whole = gzip.compress(origin.body(6) + b" " * 5_000)
    sent = whole[:-12] if times == 1 else whole
    return response(sent, "Content-Encoding: gzip", length=len(whole))


def wrong_length(origin: HostileOrigin, times: int, asked: Asked):
    body = origin.body(7)
    return response(body, length=len(body) + 100) if times == 1 else None


def charset_lie(origin: HostileOrigin, times: int, asked: Asked):
    text = json.dumps({"number": 8, "next": "/page/9", "city": "Łódź"}, ensure_ascii=False)
    return response(text.encode(), "Content-Type: application/json; charset=iso-8859-2")


def duplicate_headers(origin: HostileOrigin, times: int, asked: Asked):
    twice = ('ETag: "a"', 'ETag: "b"', "Content-Type: text/html", "content-type: text/plain")
    return response(origin.body(9), *twice)


def huge_headers(origin: HostileOrigin, times: int, asked: Asked):
    return response(origin.body(10), f"X-Long: {'x' * (200_000 if times == 1 else 50_000)}")


def interim(origin: HostileOrigin, times: int, asked: Asked):
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    return hints + response(origin.body(11))


def broken_chunks(origin: HostileOrigin, times: int, asked: Asked):
    body = origin.body(12)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    framed = head + b"%x\r\n%s\r\n" % (len(body), body)
    return framed + (b"zz\r\n" if times == 1 else b"0\r\n\r\n")


def reset_midway(origin: HostileOrigin, times: int, asked: Asked):
    return then_reset(response(origin.body(13))[:-10]) if times == 1 else None


def silence(origin: HostileOrigin, times: int, asked: Asked):
    return then_silence(response(origin.body(14))[:-10]) if times == 1 else None


def no_http(origin: HostileOrigin, times: int, asked: Asked):
    return b"SSH-2.0-OpenSSH_9.6\r\n\r\n" if times == 1 else None


WAYS: dict[int, Way] = {
    1: busy,
    2: busy_until,
    3: burst_of_5xx,
    4: cookie_gate,
    5: slow_drip,
    6: cut_gzip,
    7: wrong_length,
    8: charset_lie,
    9: duplicate_headers,
    10: huge_headers,
    11: interim,
    12: broken_chunks,
    13: reset_midway,
    14: silence,
    15: no_http,
}
