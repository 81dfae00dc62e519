"""A process killed with SIGKILL while extracting loses nothing that was acknowledged."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.parquet as pq
import pytest

KILLS = 12
ENDLESS = 10**6


class Server(ThreadingHTTPServer):
    """Takes it calmly when a killed process hangs up."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Pages(BaseHTTPRequestHandler):
    """Each address answers with its own number."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.path.strip("/").encode()
        time.sleep(random.random() * 0.004)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def pages():
    server = Server(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def query(home, sql):
    with closing(sqlite3.connect(home / "db.sqlite3")) as database:
        return database.execute(sql).fetchall()


def read_archive(home):
    """The pages and the runs of every row in an acknowledged segment, read without our code."""
    pages: set[int] = set()
    runs: Counter[str] = Counter()
    for (path,) in query(home, "SELECT path FROM raw_store_segment"):
        table = pq.read_table(home / "archive" / path, columns=["url", "status", "run_id"])
        for row in table.to_pylist():
            runs[row["run_id"].replace("-", "")] += 1
            if row["status"] == 200:
                pages.add(int(row["url"].rpartition("/")[2]))
    return pages, runs


def read_watermark(home):
    found = query(home, "SELECT value FROM ingest_watermark")
    return int(found[0][0]) if found else 0


def test_nothing_acknowledged_is_lost_however_often_the_process_is_killed(pages, other_home):
    home = other_home
    environment = os.environ | {"ROOTCELLAR_TEST_HOME": str(home)}
    command = [sys.executable, "-m", "tests.ingest.victim", pages]
    acknowledged: dict[str, int] = {}
    watermarks = [0]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin
        assert parent.stdout

        for kill in range(KILLS + 1):
            last_page = ENDLESS if kill < KILLS else watermarks[-1] + 30
            parent.stdin.write(f"{last_page}\n")
            parent.stdin.flush()
            # Some die before their first seal, some between two, some in the midst of one.
            seals_to_see = random.randint(0, 4) if kill < KILLS else ENDLESS
            child = 0
            for line in parent.stdout:
                words = line.split()
                if words[0] == "started":
                    child = int(words[1])
                elif words[0] == "acknowledged":
                    acknowledged[words[1].replace("-", "")] = int(words[2])
                    seals_to_see -= 1
                elif words[0] == "ended":
                    break
                if seals_to_see == 0:
                    threading.Timer(
                        random.uniform(0, 0.1), os.kill, [child, signal.SIGKILL]
                    ).start()
                    seals_to_see = ENDLESS
            archived, rows = read_archive(home)
            watermarks.append(read_watermark(home))

            assert archived >= set(range(1, watermarks[-1] + 1)), "the watermark is ahead"
            for run, count in query(home, "SELECT id, payload_count FROM ingest_run"):
                assert rows[run] == count
            for run, count in acknowledged.items():
                assert rows[run] >= count
        parent.stdin.close()

    outcomes = Counter(outcome for (outcome,) in query(home, "SELECT outcome FROM ingest_run"))
    assert watermarks == sorted(watermarks)
    assert len(set(watermarks)) > KILLS // 3, "hardly a run got as far as a seal"
    assert archived >= set(range(1, last_page + 1))
    assert watermarks[-1] == last_page
    assert set(outcomes) <= {"interrupted", "complete"}
    assert outcomes["complete"] == 1
