"""The servers that are compared, each a process on loopback, and how each is asked."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.archive.home import ROOT
from tests.topology.peers import free_ports, postgres

from .client import Client, Question

PEER = ROOT / "build" / "peers" / "postgraphile"
_FIELDS = "{ id name image value requiredFor%s { quantity quest { title image text } } }"
_PLAIN = _FIELDS.replace("%s", "")


@dataclass(frozen=True)
class Questions:
    """The two questions in one server's words."""

    all: str
    one: str
    one_key: str = "item"


# Our lists hold 100 rows unless asked otherwise; no list here is longer than asked for.
OURS = Questions(
    all="{ items(pagination: {limit: 1000}) "
    + _FIELDS.replace("%s", "(pagination: {limit: 1000})")
    + " }",
    one="query ($id: Int!) { item(id: $id) "
    + _FIELDS.replace("%s", "(pagination: {limit: 1000})")
    + " }",
)
STRAWBERRY = Questions(
    all="{ items " + _PLAIN + " }",
    one="query ($id: Int!) { items(filters: {id: {exact: $id}}) " + _PLAIN + " }",
    one_key="items",
)
_GRAPHILE_FIELDS = (
    "{ id: rowId name image value requiredFor: requirementsByItemIdList"
    " { quantity quest: questByQuestId { title image text } } }"
)
GRAPHILE = Questions(
    all="{ items: allItemsList " + _GRAPHILE_FIELDS + " }",
    one="query ($id: Int!) { item: itemByRowId(rowId: $id) " + _GRAPHILE_FIELDS + " }",
)


@dataclass
class Target:
    """One server."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    questions: Questions
    postmaster: int | None

    def question(self, item: int | None) -> Question:
        """All items, or one."""
        text = self.questions.all if item is None else self.questions.one
        return Question(text, {} if item is None else {"id": item})

    def cpu_seconds(self) -> float:
        """What it has computed so far, its database server included."""
        return _cpu(self.process.pid) + (_cluster_cpu(self.postmaster) if self.postmaster else 0)


@contextmanager
def running(home: Path, names: list[str]) -> Iterator[dict[str, Target]]:
    """The named targets, over databases of their own with the same rows."""
    with ExitStack() as stack:
        found = {}
        sqlite = _environment(home / "sqlite", "")
        if any("SQLite" in name for name in names):
            _run([sys.executable, "-m", "bench.serve.data"], sqlite)
        postmaster, postgresql = None, sqlite
        if any("SQLite" not in name for name in names):
            url = stack.enter_context(postgres(is_durable=True))
            postgresql = _environment(home / "postgresql", url)
            postmaster = _postmaster(url)
            _run([sys.executable, "-m", "bench.serve.data"], postgresql)
        for name, port in zip(names, free_ports(len(names)), strict=True):
            is_sqlite = "SQLite" in name
            environment = sqlite if is_sqlite else postgresql
            process = _start(name, port, environment, home)
            stack.callback(_stop, process)
            found[name] = Target(
                name, process, port, _WORDS[name.split(",")[0]], None if is_sqlite else postmaster
            )
        for target in found.values():
            _wait(target, home)
        yield found


_WORDS = {
    "rootcellar": OURS,
    "strawberry-django": STRAWBERRY,
    "floor": OURS,
    "PostGraphile 5": GRAPHILE,
}


def _start(
    name: str, port: int, environment: Mapping[str, str], home: Path
) -> subprocess.Popen[bytes]:
    kind = name.split(",")[0]
    env = dict(environment) | {"PORT": str(port)}
    if kind == "PostGraphile 5":
        command = [str(PEER / "node_modules/.bin/node"), "server.mjs"]
        env |= {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}
    else:
        module = {
            "rootcellar": "etl.asgi",
            "strawberry-django": "bench.serve.strawberry_app",
            "floor": "bench.serve.floor_app",
        }[kind]
        if kind == "strawberry-django":
            env["DJANGO_SETTINGS_MODULE"] = "bench.serve.strawberry_settings"
        command = [sys.executable, "-m", "uvicorn", f"{module}:application", "--port", str(port)]
        command += ["--log-level", "warning", "--no-access-log"]
    with (home / f"{port}.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=PEER if kind == "PostGraphile 5" else ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _environment(home: Path, url: str) -> dict[str, str]:
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOTCELLAR_")}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "bench.serve.settings",
        "ROOTCELLAR_HOME": str(home),
        "DATABASE_URL": url,
        "ARCHIVE_URL": "",
        "SCHEDULER": "0",
        "PYTHONPATH": str(ROOT),
    }


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(target: Target, home: Path) -> None:
    for _ in range(600):
        if target.process.poll() is not None:
            break
        try:
            with Client(target.port) as client:
                client.ask(target.question(1))
            return
        except OSError:
            time.sleep(0.1)
    log = (home / f"{target.port}.log").read_text(errors="replace")[-4000:]
    raise SystemExit(f"{target.name} does not answer. It said:\n{log}")


def _postmaster(url: str) -> int:
    folder = url.split("host=")[-1].split("&")[0]
    return int((Path(folder) / "postmaster.pid").read_text().splitlines()[0])


_TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int | str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _cpu(pid: int, *, with_ended_children: bool = False) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11 : 15 if with_ended_children else 13])) / _TICKS


def _cluster_cpu(postmaster: int) -> float:
    """Of the server process, the children it has and those that ended."""
    children = [
        int(path.name)
        for path in Path("/proc").glob("[0-9]*")
        if (fields := _stat(path.name)) and fields[1] == str(postmaster)
    ]
    return _cpu(postmaster, with_ended_children=True) + sum(map(_cpu, children))
