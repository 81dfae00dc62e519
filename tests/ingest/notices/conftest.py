"""Runs that end in a test, and a server that keeps what it is sent."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ingest.models import Run
from ingest.redact import Redactor
from ingest.runs import ReceivedRun

FEED = "orchard.pages"


@pytest.fixture
def end_run(db):
    """Let a run of `orchard.pages` end, well or with an error."""

    def end(error=None):
        run = ReceivedRun(FEED)
        run.progress(payload_count=31, received_bytes=5)()
        run.end(ValueError(error) if error else None, Redactor("key"))
        return Run.objects.get(pk=run.id)

    return end


@dataclass
class Inbox:
    """A loopback server that answers everything alike and keeps what it was sent."""

    status: int = 200
    answer: bytes = b'{"ok": true}'
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Any] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def inbox():
    found = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.got.append((self.path, headers, body))
            self.send_response(found.status)
            for name, value in {"Content-Type": "application/json", **found.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.answer)))
            self.end_headers()
            self.wfile.write(found.answer)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()
