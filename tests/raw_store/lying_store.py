"""An S3 store's untrue mouth: a server before a real one that answers some requests itself."""

import http.client
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Answer = tuple[int, bytes]
Lie = Callable[[str, str], Answer | None]
"""What to answer to a method and a target instead of the store; None lets the store answer."""


@contextmanager
def lying(url: str, lie: Lie) -> Iterator[tuple[str, list[str]]]:
    """The address of the archive through the liar, and the requests that came by."""
    port = int(re.findall(r"endpoint_override=127\.0\.0\.1:(\d+)", url)[0])
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def answer(self) -> None:
            told.append(f"{self.command} {self.path}")
            body = self.body()
            said = lie(self.command, self.path)
            if said:
                self.send_response(said[0])
                self.send_header("content-length", str(len(said[1])))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said[1])
                return
            # The signature covers the host as the client knows it.
            store = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "content-length", "transfer-encoding"):
                    store.putheader(name, value)
            store.putheader("content-length", str(len(body)))
            store.endheaders(body)
            response = store.getresponse()
            content = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            size = response.getheader("content-length") if self.command == "HEAD" else None
            self.send_header("content-length", size or str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            store.close()

        def body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield url.replace(f"127.0.0.1:{port}", f"127.0.0.1:{server.server_port}"), told
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
