"""A new source: the skeleton works as it is written, and the tutorial's steps do what it says."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from sources.farm.origin import Origin
from tests.topology.peers import free_ports

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = (ROOT / "docs" / "add-a-source.md").read_text()
TOOLS = Path(sys.executable).parent
NOT_COPIED = shutil.ignore_patterns(".*", "var", "build", "__pycache__")


class Project:
    """A copy of the project, with a home folder of its own."""

    def __init__(self, folder):
        self.folder = folder / "project"
        shutil.copytree(ROOT, self.folder, ignore=NOT_COPIED)
        if (known := ROOT / ".mypy_cache").exists():
            shutil.copytree(known, self.folder / ".mypy_cache")
        inherited = {name: value for name, value in os.environ.items() if "ROOTCELLAR" not in name}
        self.environment = inherited | {
            "DJANGO_SETTINGS_MODULE": "etl.settings",
            "ROOTCELLAR_HOME": str(folder / "home"),
            "SCHEDULER": "0",
            "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
        }

    def shell(self, commands):
        """Run commands as the tutorial writes them, from the project's folder."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def write(self, path, text):
        (self.folder / path).write_text(text)

    @contextlib.contextmanager
    def server(self, port):
        """The program serving, until the block ends."""
        command = [sys.executable, "-m", "uvicorn", "etl.asgi:application", "--port", str(port)]
        server = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/healthz")
            yield
        finally:
            server.terminate()
            server.wait(timeout=30)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def wait_for(url):
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{url} did not answer.")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TUTORIAL, re.S)


def files():
    """The tutorial's files: blocks whose first line is a comment that names one."""
    return dict(re.findall(r"```\w+\n(?:#|--) ((?:sources|tests)/\S+)\n(.*?)```", TUTORIAL, re.S))


def test_a_new_source_passes_the_checks_and_its_test_as_it_is_written(project):
    said = project.shell("python manage.py startsource river_levels")

    project.shell("python manage.py makemigrations --check --dry-run")
    project.shell("ruff check --no-cache sources/river_levels tests/sources/river_levels")
    project.shell("mypy sources/river_levels tests/sources/river_levels")
    project.shell("lint-imports --no-cache")
    project.shell("python -m pytest -q -p no:cacheprovider tests/sources/river_levels")
    assert "python manage.py makemigrations river_levels" in said
    index = (project.folder / "docs" / "README.md").read_text()
    assert "(../sources/river_levels/README.md)" in index


@pytest.mark.parametrize("name", ["w", "river_levels", "rivers_of_the_far_north_west14"])
def test_a_new_source_is_formatted_however_long_its_name(settings, tmp_path, name):
    settings.BASE_DIR = tmp_path
    call_command("startsource", name, stdout=io.StringIO())

    subprocess.run(
        [
            *(TOOLS / "ruff", "format", "--check", "--no-cache", "--exclude", "migrations"),
            *("--config", ROOT / "pyproject.toml", tmp_path),
        ],
        check=True,
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("River", "cannot name a source"),
        ("river-levels", "cannot name a source"),
        ("../river", "cannot name a source"),
        ("river__levels", "cannot name a source"),
        ("4rivers", "cannot name a source"),
        ("r" * 31, "cannot name a source"),
        ("lambda", "is a word of Python's own"),
        ("ingest", "An app is called 'ingest' already"),
        ("quakes", "An app is called 'quakes' already"),
    ],
)
def test_a_bad_name_is_refused_with_its_reason(name, reason):
    with pytest.raises(CommandError, match=re.escape(reason)):
        call_command("startsource", name)


def test_a_folder_that_is_there_stays_as_it_is(settings, tmp_path):
    settings.BASE_DIR = tmp_path
    notes = tmp_path / "tests" / "sources" / "weather" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")

    with pytest.raises(CommandError, match="tests/sources/weather is there already"):
        call_command("startsource", "weather")

    assert not (tmp_path / "sources").exists()
    assert list(notes.parent.iterdir()) == [notes]


def test_the_tutorial_ends_in_the_answer_it_shows(project):
    start, source, test_skeleton, run, serve, ask, keep, test_own = blocks("sh")
    (port,) = free_ports(1)
    assert start == "python manage.py farm_origin --day 2\n"
    assert serve == "make serve\n"

    with Origin(day=2) as origin:
        project.shell(source.replace("make source NAME=", "python manage.py startsource "))
        project.shell(as_pytest(test_skeleton))
        for path, text in files().items():
            project.write(path, text.replace("http://127.0.0.1:8799", origin.url))
        said = project.shell(run)
        project.write("ask.graphql", blocks("graphql")[0])
        with project.server(port):
            answer = project.shell(ask.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
        project.shell(keep)
        project.shell(as_pytest(test_own))
        shown = blocks("json")[0].replace("http://127.0.0.1:8799", origin.url)

    assert said.splitlines()[-1] in TUTORIAL.splitlines()
    assert json.loads(answer) == json.loads(shown)
    project.shell("ruff format --check --no-cache sources/errands tests/sources/errands")
    project.shell("ruff check --no-cache sources/errands tests/sources/errands")


def as_pytest(command):
    return command.replace("make test ARGS=", "python -m pytest -q -p no:cacheprovider ")


def test_the_tutorial_s_source_has_fewer_than_thirty_lines():
    own = [
        line
        for path, text in files().items()
        if path.startswith("sources/")
        for line in text.splitlines()
        if line.strip() and not line.startswith(("from ", "import ", "--"))
    ]

    assert len(own) < 30
