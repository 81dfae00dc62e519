"""Executors: workers that die, memory that is short, a stop, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reshape import executors, worker
from reshape.errors import ReplayStopped, WorkerKilled
from reshape.executors import Spread, execute
from reshape.machine import available_cores, available_memory

from .exploding import Charge, end_at_once, explode, stop_everyone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pooled(monkeypatch, settings):
    """Everything is done in a pool of two, whose processes load little."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.crash.settings")
    settings.PARSE_WORKERS = 2
    monkeypatch.setattr(executors, "MEASURED_S", 0)
    monkeypatch.setattr(executors, "POOL_START_S", -1)
    monkeypatch.setattr(executors, "HELPS", False)


def test_while_a_pool_starts_the_work_goes_on_here_and_each_task_is_done_once(
    tmp_path, pooled, monkeypatch
):
    monkeypatch.setattr(executors, "HELPS", True)
    tasks = [Charge(str(number), tmp_path, seconds=0.1) for number in range(60)]

    found = _collect(execute(tasks, explode, explode))

    assert sorted(found, key=int) == [str(number) for number in range(60)]
    assert os.getpid() in pids(tmp_path)
    assert len(pids(tmp_path)) > 1


def test_the_pool_works_while_a_task_is_done_here(tmp_path, pooled, monkeypatch):
    monkeypatch.setattr(executors, "HELPS", True)
    tasks = [Charge(str(number), tmp_path) for number in range(8)]

    def here(task):
        deadline = time.monotonic() + 30
        while not pids(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert set(pids(tmp_path)) - {os.getpid()}
        return task.name

    found = list(execute(tasks, here, explode))

    assert sorted(name for _, name in found) == list("01234567")
    assert len(list(tmp_path.glob("*.0"))) < 8


def test_a_task_is_not_done_here_where_memory_is_short():
    busy = []

    def work(task):
        busy.append(task)
        assert len(busy) == 1
        time.sleep(0.01)
        busy.remove(task)
        return task.name

    tasks = [Charge(str(n), Path(), memory_bytes=60) for n in range(6)]
    with ThreadPoolExecutor(4) as pool:
        spread = Spread(pool, deque(tasks), work, submit=lambda to, do, task: to.submit(do, task))
        found = list(spread.run(ahead=2, memory_bytes=100, meanwhile=work, is_begun=bool))

    assert sorted(name for _, name in found) == list("012345")


def test_tasks_that_fill_the_cores_by_themselves_start_no_process(tmp_path, pooled):
    tasks = [Charge(str(number), tmp_path, fills_cores=True) for number in range(5)]

    assert _collect(execute(tasks, explode, explode)) == list("01234")
    assert pids(tmp_path) == [os.getpid()]


def test_where_no_process_can_begin_everything_is_done_here(tmp_path, pooled, monkeypatch):
    monkeypatch.setattr(worker, "begin", end_at_once)
    tasks = [Charge(str(number), tmp_path) for number in range(5)]

    assert sorted(_collect(execute(tasks, explode, explode))) == list("01234")
    assert pids(tmp_path) == [os.getpid()]


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def pids(folder):
    return [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]


def test_small_work_starts_no_process(tmp_path, settings):
    settings.PARSE_WORKERS = 2
    tasks = [Charge(str(number), tmp_path) for number in range(5)]

    found = list(execute(tasks, explode, explode))

    assert found == [(task, task.name) for task in tasks]
    assert pids(tmp_path) == [os.getpid()]


def test_a_task_whose_worker_is_killed_is_done_again_and_one_that_kills_twice_is_named(
    tmp_path, pooled
):
    unlucky, killer = Charge("unlucky", tmp_path, kills=1), Charge("killer", tmp_path, kills=9)
    others = [Charge(str(number), tmp_path) for number in range(4)]
    done = []

    with pytest.raises(WorkerKilled, match="segment killer") as raised:
        done += _collect(execute([*others[:2], unlucky, killer, *others[2:]], explode, explode))

    assert "unlucky" not in str(raised.value)
    assert {path.name.partition(".")[0] for path in tmp_path.glob("*.0")} == {
        *"0123", "unlucky", "killer",
    }  # fmt: skip
    assert (tmp_path / "unlucky.1").exists()
    assert len(list(tmp_path.glob("killer.*"))) in (2, 3)
    assert not any(map(is_alive, set(pids(tmp_path)) - {os.getpid()}))


def _collect(results):
    return [name for _, name in results]


def test_a_worker_that_is_told_to_stop_ends_the_replay_and_leaves_no_process(tmp_path, pooled):
    tasks = [Charge(str(number), tmp_path) for number in range(3)]

    with pytest.raises(ReplayStopped, match="the next replay goes on"):
        list(execute(tasks, explode, stop_everyone))


def test_tasks_wait_until_there_is_memory_for_them():
    at_once, most = [], []

    def work(task):
        at_once.append(task)
        most.append(sum(each.memory_bytes for each in at_once))
        time.sleep(0.01)
        at_once.remove(task)
        return task.name

    sizes = [40, 40, 40, 250, 10, 10, 10, 100]
    tasks = [Charge(str(n), Path(), memory_bytes=size) for n, size in enumerate(sizes)]
    with ThreadPoolExecutor(4) as pool:
        spread = Spread(pool, deque(tasks), work, submit=lambda to, do, task: to.submit(do, task))
        found = list(spread.run(ahead=8, memory_bytes=100))

    assert sorted(name for _, name in found) == sorted(task.name for task in tasks)
    # What is larger than all memory runs alone.
    assert max(total for total in most if total != 250) <= 100
    assert 250 in most


def test_memory_and_cores_follow_the_limits_of_the_container(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner / "cpu.max").write_text("max 100000\n")
    (inner.parent / "memory.max").write_text("1000000\n")
    (inner.parent / "memory.current").write_text("700000\n")
    (inner.parent / "memory.stat").write_text("anon 5\ninactive_file 200000\n")
    (inner.parent / "cpu.max").write_text("150000 100000\n")
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    2000 kB\n")

    assert available_memory(tmp_path, own, meminfo) == 500_000
    assert available_cores(tmp_path, own) == 1
    (inner.parent / "memory.max").write_text("max\n")
    assert available_memory(tmp_path, own, meminfo) == 2_048_000


PARENT = """
import os, sys
from collections import deque
from pathlib import Path
import django
if __name__ == "__main__":
    django.setup()
    from reshape import executors
    from tests.reshape.exploding import Charge, explode
    executors.MEASURED_S, executors.POOL_START_S, executors.HELPS = 0, -1, False
    folder = Path(sys.argv[1])
    tasks = [Charge(str(n), folder, seconds=30) for n in range(4)]
    list(executors.execute(tasks, explode, explode))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path, number):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PARSE_WORKERS": "2"}
        | {"DJANGO_SETTINGS_MODULE": "tests.crash.settings"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while len(pids(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = pids(tmp_path)

    parent.send_signal(number)
    parent.wait(20)

    assert len(workers) == 2
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_alive, workers))


def test_a_worker_begins_with_what_parsing_needs_alone():
    begun = (
        "import sys; from reshape import worker; worker.set_up(parses_only=True); "
        "others = 'warehouse.rollups api.schema strawberry duckdb httpx'.split(); "
        "print([name for name in others if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", begun],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.crash.settings"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.strip() == "[]", done.stderr
