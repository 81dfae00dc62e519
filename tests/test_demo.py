"""`manage.py demo --once`, twice in one home: it ends well, and the second goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

ROOT = Path(__file__).resolve().parent.parent


def start(home, *arguments):
    """Start a command in a process of its own, in `home`."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "ARCHIVE_URL", "ROOTCELLAR_APPS", "FARM_ORIGIN_URL"}
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={
            **environment,
            "DJANGO_SETTINGS_MODULE": "etl.settings",
            "ROOTCELLAR_HOME": str(home),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def killed_in_the_end(process):
    """Whatever fails meanwhile, nobody waits for the process for ever."""
    try:
        yield
    finally:
        process.kill()


@dataclass(frozen=True)
class Played:
    returncode: int
    stdout: str
    stderr: str


def play(home, *arguments):
    """Run the demo to its end."""
    return manage(home, "demo", *arguments)


def manage(home, *arguments):
    """Run a command to its end."""
    with start(home, *arguments) as process:
        stdout, stderr = process.communicate(timeout=120)
    return Played(process.returncode, stdout, stderr)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def twice(home):
    """The first five days, then the next one: the processes as they ended."""
    return play(home, "--once", "--days", "5"), play(home, "--once", "--days", "1")


def last_line(process):
    return json.loads(process.stdout.splitlines()[-1])


def test_the_demo_ends_well_both_times(twice):
    assert [process.returncode for process in twice] == [0, 0], twice[0].stderr + twice[1].stderr
    assert [last_line(process)["graphql_ok"] for process in twice] == [True, True]


def test_the_second_demo_goes_on_and_loses_nothing(twice):
    first, second = map(last_line, twice)

    assert "Day 0, Saturday 1 March 2025" in twice[0].stdout
    assert "Day 4," not in twice[1].stdout
    assert "Day 5, Thursday 6 March 2025" in twice[1].stdout
    assert 0 < first["payloads"] < second["payloads"]
    assert 0 < first["rows"] < second["rows"]
    assert 0 < first["rollups"] < second["rollups"]


def test_the_planned_trouble_is_told_without_a_stack_trace(twice):
    told = " ".join(twice[0].stdout.split())

    assert "The runs of farm.items and farm.quests failed after 3 attempts" in told
    assert "One page is in quarantine" in told
    assert "2 rows are held" in told
    assert "Traceback" not in told + twice[0].stderr
    assert "WARNING" not in twice[0].stderr


def test_the_changed_transform_is_shown_but_not_loaded(twice):
    told = twice[0].stdout

    assert '+ base_value=_coins(article, ".worth") + _coins(article, ".toll"),' in told
    assert "changed columns: base_value in" in told
    assert "+" not in (ROOT / "sources/farm/transform.py").read_text().split('".worth"')[1][:2]


def test_with_only_the_archive_left_it_goes_on_and_serves_until_stopped(home, twice):
    for derived in (*home.glob("db.sqlite3*"), home / "records", home / "warehouse"):
        shutil.rmtree(derived) if derived.is_dir() else derived.unlink()
    manage(home, "migrate", "--verbosity", "0")
    manage(home, "archive", "reindex")

    with start(home, "demo", "--days", "1", "--port", "0") as process, killed_in_the_end(process):
        address = next(
            line.split()[1] for line in process.stdout if line.strip().startswith("GraphQL ")
        )
        question = {"query": "{ questsCount dailyPricesCount }"}
        answer = httpx.post(address, json=question, timeout=30).json()
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)

    assert answer["data"]["questsCount"] == 13
    # Seven days of about fifty prices each.
    assert answer["data"]["dailyPricesCount"] > 300
    assert process.returncode == 0
    assert "Stopped." in told


def test_a_day_count_that_makes_no_sense_is_refused():
    with pytest.raises(CommandError, match="--days takes a number from 1; got 0"):
        call_command("demo", once=True, days=0)
