"""PostgreSQL plans a statement once on each connection, and nothing is lost where it must anew."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.topology.peers import postgres

ROOT = Path(__file__).resolve().parents[3]
_SCRIPT = """
import django; django.setup()
from django.conf import settings
from django.core.management import call_command
call_command("migrate", verbosity=0)
import asyncio, graphql, json, psycopg, sys
from uuid import UUID
from django.db import DatabaseError, connection
from api.compiled.documents import known_of
from api.compiled.prepared import prepared as prepared_connection
from api.compiled import prepared as prepared_module, workers
from api.schema import get_api
from sources.quakes.models import Network

Network.objects.create(code="ak", fetch_id=UUID(int=1))
known = known_of(graphql.parse(
    "query ($code: String!) { network(code: $code) { code } networksCount }"
))

# One thread, one connection.
workers.WORKER_COUNT = 1
workers.open_workers()

def in_worker(work):
    return asyncio.run(workers.in_worker(work))

def ask(code="ak"):
    answer = in_worker(lambda: get_api().compiler.answer(known, None, {"code": code}))
    return answer.data.decode() if answer.data else answer.reason

def prepared():
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return sum("network" in statement for statement, in cursor.fetchall())

def by_another_program(sql):
    with psycopg.connect(sys.argv[1], autocommit=True) as other:
        other.execute(sql)

told = {"asked": [ask() for _ in range(5)], "prepared": in_worker(prepared)}
told["gone"] = ask("nn")
by_another_program("ALTER TABLE quakes_network ALTER COLUMN code TYPE text")
told["after a change"] = [ask() for _ in range(4)]
by_another_program(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)
told["after a restart"] = [ask() for _ in range(3)]
def together():
    held = prepared_connection(connection)
    rows = held.execute_all([("SELECT %s::int, '%%', %s::text", [n, None]) for n in range(3)])
    told["together"] = [each.fetchall() for each in rows]
    told["errors"] = []
    for bad in ("SELECT 1/%s", "SELECT pg_terminate_backend(pg_backend_pid()), %s"):
        try:
            held.execute_all([("BEGIN", None), (bad, [0]), ("SELECT %s::int", [1])])
        except DatabaseError as error:
            told["errors"].append(type(error).__name__)
        if not connection.connection.pgconn.status:
            held.execute_all([("COMMIT", None)])
            told["and then"] = held.execute_all([("SELECT %s::int", [1])])[0].fetchmany(1)
    connection.close()

def too_many():
    prepared_module._MOST = 4
    held = prepared_connection(connection)
    told["many"] = []
    for n in range(40):
        pair = [(f"SELECT {k} + %s::int", [0]) for k in (n // 8, 100 + n // 4)]
        told["many"].append([each.fetchall()[0][0] for each in held.execute_all(pair)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        told["kept"] = cursor.fetchone()[0]

if settings.PREPARE_STATEMENTS:
    in_worker(together)
    in_worker(too_many)
told["at last"] = ask()
print(json.dumps(told))
workers.close_workers()
connection.close()
connection.close_pool()
"""
ANSWER = '{"network":{"code":"ak"},"networksCount":1}'


def told(home, url, **settings):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOTCELLAR_")}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, url],
        cwd=ROOT,
        env=kept
        | {
            "ROOTCELLAR_HOME": str(home),
            "DJANGO_SETTINGS_MODULE": "etl.settings",
            "DATABASE_URL": url,
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def url():
    with postgres() as found:
        yield found


def test_a_statement_that_comes_again_is_prepared_and_a_change_of_its_table_costs_one_answer(
    url, tmp_path
):
    found = told(tmp_path, url)

    assert found["asked"] == [ANSWER] * 5
    assert found["prepared"] == 2
    assert found["gone"] == '{"network":null,"networksCount":1}'
    # The ordinary executor answers the one whose plan failed.
    assert found["after a change"] == ["Failed: NotSupportedError."] + [ANSWER] * 3
    assert found["after a restart"][-1] == ANSWER
    assert found["together"] == [[[number, "%", None]] for number in range(3)]
    assert found["errors"] == ["DataError", "OperationalError"]
    assert found["and then"] == [[1]]
    assert found["many"] == [[n // 8, 100 + n // 4] for n in range(40)]
    assert 0 < found["kept"] <= 4
    assert found["at last"] == ANSWER


def test_nothing_is_prepared_where_a_pooler_could_not_keep_it(url, tmp_path):
    with_none = told(tmp_path, url, PREPARE_STATEMENTS="0")

    assert with_none["prepared"] == 0
    assert with_none["asked"] == [ANSWER] * 5
