"""An answer is all of one load, or all of the next; never half of each."""

import os
import subprocess
import sys
from pathlib import Path

from tests.topology.peers import postgres

ROOT = Path(__file__).resolve().parents[3]
# A plan reads networks; then all of them are replaced; then it reads their quakes.
_SCRIPT = """
import threading
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
import graphql, json
from types import SimpleNamespace
from uuid import UUID
from django.db import connection, connections, transaction
from api.compiled.documents import known_of
from api.compiled.snapshots import Snapshot
from api.schema import get_api
from sources.quakes.models import Network

def load(code):
    with transaction.atomic():
        Network.objects.all().delete()
        Network.objects.create(code=code, fetch_id=UUID(int=1))
    connections.close_all()

def in_thread(code):
    thread = threading.Thread(target=load, args=[code])
    thread.start()
    thread.join()

in_thread("old")
known = known_of(graphql.parse("{ networks { code } networksCount again: networks { code } }"))
count = 0

execute = Snapshot.execute

def between(self, sql, params):
    global count
    rows = execute(self, sql, params).fetchall()
    count += 1
    if count == 1:
        in_thread("new")
    return SimpleNamespace(fetchall=lambda: rows)

Snapshot.execute = between
answer = get_api().compiler.answer(known, None, {})
print(answer.data.decode())
print(get_api().compiler.answer(known, None, {}).data.decode())
connection.close()
if connection.vendor == "postgresql":
    connection.close_pool()
"""


def answers(home, database_url):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOTCELLAR_")}
    env = kept | {
        "ROOTCELLAR_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "etl.settings",
        "DATABASE_URL": database_url,
    }
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


OLD = '{"networks":[{"code":"old"}],"networksCount":1,"again":[{"code":"old"}]}'
NEW = OLD.replace("old", "new")


def test_a_load_between_two_statements_is_not_seen(tmp_path):
    assert answers(tmp_path, "") == [OLD, NEW]


def test_nor_is_it_on_postgresql(tmp_path):
    with postgres() as url:
        assert answers(tmp_path, url) == [OLD, NEW]
