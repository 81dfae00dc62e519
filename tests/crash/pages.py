"""A loopback server whose answers follow from the address and the round."""

import gzip
import random
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from .bodies import body_of


class Pages(ThreadingHTTPServer):
    """Answers `/page/N`, `/tree/N` and `/large/N`, and says the round in a header.

    Trees have an ETag and answer 304; odd pages come compressed. A redirect, `/old/N`, leads to a
    page; what is nowhere else is a 404.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.round = 0
        self._serving = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._serving.join()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        # A killed process hangs up.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Pages

    def do_GET(self):
        time.sleep(random.random() * 0.002)
        moved = re.fullmatch(r"/old/(\d+)", self.path)
        if moved:
            self._answer(302, b"", {"Location": f"/page/{moved[1]}"})
        elif not re.fullmatch(r"/(page|tree|large)/\d+", self.path):
            self._answer(404, b"no such page", {})
        else:
            self._answer_page()

    def _answer_page(self):
        round_ = self.server.round
        headers = {"X-Round": str(round_)}
        if self.path.startswith("/tree"):
            headers["ETag"] = f'"{round_}"'
            if self.headers.get("If-None-Match") == headers["ETag"]:
                self._answer(304, b"", headers)
                return
        body = body_of(self.path, round_)
        if self.path.startswith("/page") and int(self.path.rpartition("/")[2]) % 2:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        self._answer(200, body, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""
