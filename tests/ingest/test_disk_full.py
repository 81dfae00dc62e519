"""A disk that fills while a run is sealed: that run fails clearly, and the next one goes on."""

import contextlib
import os
import random
import resource
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raw_store.segments import iter_payloads

ROOT = Path(__file__).resolve().parents[2]
# Noise, which no compression makes smaller than the limit.
BODY = random.Random(1).randbytes(6_000_000)
LARGE = random.Random(1).randbytes(12_000_000)
LIMIT = 3_000_000


class Answers(BaseHTTPRequestHandler):
    body = BODY

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        # Who has no room for it hangs up early.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(self.body)

    def log_message(self, *_):
        """Says nothing."""


class LargeAnswers(Answers):
    body = LARGE


@contextlib.contextmanager
def serving(answers):
    with ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def origin():
    with serving(Answers) as address:
        yield address


def manage(home, origin, *arguments, limit=None):
    environment = {**os.environ, "ROOTCELLAR_HOME": str(home), "ROOTCELLAR_APPS": "tests.sample"}
    environment |= {"DJANGO_SETTINGS_MODULE": "etl.settings", "SAMPLE_ORIGIN": origin}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        if limit
        else None,
    )


def test_full_disk_fails_the_run_and_the_next_continues(tmp_path, origin):
    assert manage(tmp_path, origin, "migrate", "-v0").returncode == 0

    full = manage(tmp_path, origin, "extract", "sample.pages", "--no-replay", limit=LIMIT)
    left = [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
    again = manage(tmp_path, origin, "extract", "sample.pages", "--no-replay")
    verified = manage(tmp_path, origin, "archive", "verify")

    assert full.returncode == 1
    assert "could not be written" in full.stdout + full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    assert left == []
    assert again.returncode == 0, again.stdout + again.stderr
    assert verified.returncode == 0
    assert [path.suffix for path in (tmp_path / "archive").rglob("*") if path.is_file()] == [
        ".parquet"
    ]


def test_full_disk_that_takes_no_large_body_fails_its_fetch_and_nothing_is_left_over(tmp_path):
    assert manage(tmp_path, "", "migrate", "-v0").returncode == 0

    with serving(LargeAnswers) as origin:
        full = manage(tmp_path, origin, "extract", "sample.pages", "--no-replay", limit=LIMIT)
        verified = manage(tmp_path, origin, "archive", "verify")

    archive = tmp_path / "archive"
    (row,) = (
        row
        for path in archive.rglob("*.parquet")
        for row in iter_payloads(str(archive), str(path.relative_to(archive)))
    )
    said = full.stdout + full.stderr
    assert (row.status, row.truncated, row.body, row.encoded_size) == (
        200,
        "unspecified",
        None,
        None,
    )
    assert full.returncode == 1
    assert "disk: the body cannot be kept meanwhile: File too large. Free some space." in said
    assert "Traceback" not in said
    assert verified.returncode == 0
    assert list((tmp_path / "spool").iterdir()) == []
