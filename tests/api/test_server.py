"""The program as it is served: uvicorn, a database and an archive of its own."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.topology.peers import free_ports

ROOT = Path(__file__).resolve().parent.parent.parent
_FILL = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from raw_store.archive import Archive
from tests.making import make_payload
from sources.quakes.models import Network
page = make_payload("quakes.day", {"features": []})
Archive().append_all("quakes.day", [page])
Network.objects.create(code="ci", fetch_id=page.fetch_id)
Network.objects.create(code="nc", fetch_id=page.fetch_id)
"""


@pytest.fixture(scope="module")
def server_home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def started(server_home):
    """The server's process, and its port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOTCELLAR_")}
    env = kept | {
        "ROOTCELLAR_HOME": str(server_home),
        "DJANGO_SETTINGS_MODULE": "etl.settings",
        "SCHEDULER": "0",
    }
    subprocess.run([sys.executable, "-c", _FILL], cwd=ROOT, env=env, check=True, timeout=120)
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "uvicorn", "etl.asgi:application", "--port", str(port)]
    with (server_home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        yield process, port
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def server(started, server_home):
    """A client of a server with two rows and the payload they come from."""
    process, port = started
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                client.get("/healthz")
                break
            assert process.poll() is None, (server_home / "log").read_text()
            time.sleep(0.1)
        yield client


def test_it_is_well(server):
    assert server.get("/healthz").json() == {"status": "ok", "segment_count": 1}


def test_it_answers_rows_with_their_payloads_and_bodies(server):
    question = "{ networks { code quakesCount payload { status feed bodyUrl } } }"

    answer = server.post("/graphql", json={"query": question}).json()

    networks = answer["data"]["networks"]
    assert [network["code"] for network in networks] == ["ci", "nc"]
    assert networks[0]["payload"] == networks[1]["payload"]
    assert server.get(networks[0]["payload"]["bodyUrl"]).json() == {"features": []}


def test_it_answers_many_at_once(server):
    def ask(number):
        question = f'{{ network(code: "{["ci", "nc"][number % 2]}") {{ code }} networksCount }}'
        return server.post("/graphql", json={"query": question}).json()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(40)))

    assert [answer["data"]["network"]["code"] for answer in answers] == ["ci", "nc"] * 20


def test_it_tells_who_asks_again_that_nothing_changed_until_a_load_says_so(server, server_home):
    question = {"query": "{ networks { code } }"}
    tag = server.post("/graphql", json=question).headers["ETag"]

    unchanged = server.post("/graphql", json=question, headers={"If-None-Match": tag})
    with contextlib.closing(sqlite3.connect(server_home / "db.sqlite3")) as database, database:
        database.execute(
            "INSERT INTO reshape_sourcestate (source, data_version, fingerprints, replayed_at, "
            "inputs, limit_exceeded) VALUES ('quakes', 1, '{}', '2026-01-01', '', '')"
        )
    changed = server.post("/graphql", json=question, headers={"If-None-Match": tag})

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_it_serves_pages_and_files(server):
    page = server.get("/graphql", headers={"Accept": "text/html"})
    script = page.text.split('src="')[1].split('"')[0]

    assert server.get("/").status_code == 200
    assert server.get(script).headers["Content-Type"].startswith("text/javascript")


def test_it_answers_sql(server):
    sql = "SELECT count(*) AS n FROM quakes_network WHERE code = $code"

    answer = server.post("/sql?format=csv", json={"sql": sql, "parameters": {"code": "ci"}})

    # Nothing is built yet.
    assert answer.content == b"n\n0\n"


def test_an_answer_of_sql_that_fails_midway_is_seen_to_break_off(server):
    sql = "SELECT if(range = 500000, error('enough'), 'x') FROM range(1000000)"

    with pytest.raises(httpx.RemoteProtocolError):
        server.get("/sql", params={"sql": sql, "format": "csv"})

    assert server.get("/sql", params={"sql": "SELECT 1"}).status_code == 200


def test_live_questions_do_not_keep_it_from_stopping(server, started):
    question = {"query": "query @live { networks { code } }"}
    headers = {"Accept": "text/event-stream"}

    with server.stream("POST", "/graphql", json=question, headers=headers) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: next"
        started[0].terminate()
        rest = list(lines)

    assert "event: complete" in rest
    started[0].wait(timeout=30)
