"""The origin over HTTP: one day of Dapplefen at a time, with validators and gzip.

It listens on loopback only. The day is set from outside, by `Origin.day` in the
same process or by `POST /clock` with `{"day": 3}` or `{"advance": 1}`, and
never moves by itself.
"""

import gzip
import hashlib
import json
import threading
from datetime import UTC, datetime, time
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from .pages import Answer, answer
from .world import date_of

DAY_HEADER = "X-Dapplefen-Day"


class Origin:
    """A running origin: `with Origin(day=0) as origin: … origin.url …`.

    `port=0` takes a free one. The server answers from a thread of its own until
    the block ends.
    """

    def __init__(self, *, day: int = 0, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.day = day
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address, without a final slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def day(self) -> int:
        return self._server.day

    @day.setter
    def day(self, day: int) -> None:
        self._server.day = day

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def serve(self) -> None:
        """Answer in this thread, until it is interrupted."""
        try:
            self._server.serve_forever()
        finally:
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    day: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Dapplefen"
    sys_version = ""
    # One packet per response: written piecemeal, each costs a delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path == "/clock":
            return self._send_clock()
        day = self.server.day
        found = answer(self.path, day)
        if found.status != 200:
            return self._send(found)
        validators = {
            "ETag": etag(found.body),
            "Last-Modified": format_datetime(_changed_at(self.path, day), usegmt=True),
            "Cache-Control": "no-cache",
        }
        if self._has_same(found, day):
            return self._send(Answer(status=304, content_type="", body=b""), validators)
        return self._send(found, validators)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/clock":
            return self._send(answer(self.path + "/nothing", self.server.day))
        try:
            order = json.loads(raw)
            day = int(order["day"] if "day" in order else self.server.day + order["advance"])
            if day < 0:
                raise ValueError("the first day is 0")
        except (ValueError, TypeError, KeyError) as error:
            text = f'Send {{"day": 3}} or {{"advance": 1}}: {error}\n'
            return self._send(
                Answer(status=400, content_type="text/plain; charset=utf-8", body=text.encode())
            )
        self.server.day = day
        return self._send_clock()

    def _send_clock(self) -> None:
        day = self.server.day
        body = json.dumps({"day": day, "date": date_of(day).isoformat()}).encode()
        self._send(Answer(status=200, content_type="application/json", body=body))

    def _has_same(self, found: Answer, day: int) -> bool:
        if known := self.headers.get("If-None-Match"):
            tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
            return bool(tags & {"*", etag(found.body)})
        if since := self.headers.get("If-Modified-Since"):
            try:
                return _changed_at(self.path, day) <= parsedate_to_datetime(since)
            except (TypeError, ValueError):
                return False
        return False

    def _send(self, found: Answer, headers: dict[str, str] | None = None) -> None:
        body = found.body
        self.send_response(found.status)
        self.send_header(DAY_HEADER, str(self.server.day))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if found.status == 500:
            self.send_header("Retry-After", "0")
        if found.status != 304:
            self.send_header("Content-Type", found.content_type)
            self.send_header("Vary", "Accept-Encoding")
            if "gzip" in self.headers.get("Accept-Encoding", "") and len(body) > 200:
                body = gzip.compress(body, mtime=0)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and found.status != 304:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what was answered is in the archive."""


def etag(body: bytes) -> str:
    """The strong validator of a body."""
    return f'"{hashlib.sha256(body).hexdigest()[:20]}"'


@lru_cache(maxsize=4096)
def _changed_at(target: str, day: int) -> datetime:
    """The midnight at which the target last came to read as it does on `day`."""
    today = answer(target, day)
    while day > 0 and answer(target, day - 1) == today:
        day -= 1
    return datetime.combine(date_of(day), time(), UTC)
