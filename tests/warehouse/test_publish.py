"""Publishing: the pointer, readers in other processes, and what is deleted when."""

import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from warehouse.publish import COPY_GRACE_S, KEPT_BUILDS, POINTER, current_build, publish, sweep

# Reads the published build over and over as a plain DuckDB client would, until told to stop.
READER = """
import sys, pathlib, duckdb
folder = pathlib.Path(sys.argv[1])
print("ready", flush=True)
seen = []
while not (folder / "stop").exists():
    path = folder / (folder / "CURRENT").read_text().strip()
    with duckdb.connect(str(path), read_only=True) as connection:
        low, high, count = connection.execute(
            "SELECT min(n), max(n), count(*) FROM quakes"
        ).fetchone()
        (rows,) = connection.execute("SELECT count(*) FROM quakes_quake").fetchone()
    assert low == high == count == rows, (low, high, count, rows)
    seen.append(count)
assert seen == sorted(seen), seen
print(len(seen), len(set(seen)))
"""


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_pointer_names_the_published_build(rollups):
    rollups.write("quakes", "SELECT code FROM quakes_quake")
    made = rollups.build()
    assert current_build(rollups.warehouse) is None

    publish(made)

    assert current_build(rollups.warehouse) == made.path
    assert (rollups.warehouse / POINTER).read_text() == f"{made.path.name}\n"


def test_readers_in_other_processes_see_whole_builds_only(rollups):
    rollups.write("quakes", "SELECT code, count(*) OVER () AS n FROM quakes_quake")

    def publish_quakes(count):
        quakes = [(str(n), "2024-05-01 10:00Z", 1.0) for n in range(count)]
        copy = rollups.copy_quakes(*quakes, name=f"quakes-{count}")
        publish(rollups.build({"quakes_quake": copy}, changed={"quakes_quake"}))

    publish_quakes(1)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(rollups.warehouse)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"

    for count in range(2, 8):
        publish_quakes(count)
    (rollups.warehouse / "stop").touch()

    for reader in readers:
        output, error = reader.communicate(timeout=60)
        assert reader.returncode == 0, error
        reads, builds = map(int, output.split())
        assert reads > 0
        assert builds > 1


def test_old_builds_go_and_the_newest_stay(rollups):
    rollups.write("quakes", "SELECT code FROM quakes_quake")
    made = [rollups.build() for _ in range(KEPT_BUILDS + 3)]
    for one in made[:-1]:
        age(one.path, 3600)

    publish(made[-1])

    assert sorted(rollups.warehouse.glob("*.duckdb")) == [one.path for one in made[-KEPT_BUILDS:]]


def test_the_current_build_stays_however_old_it_is(rollups):
    made = [rollups.build() for _ in range(KEPT_BUILDS + 3)]
    publish(made[0])
    for one in made:
        age(one.path, 3600)

    sweep(rollups.warehouse)

    assert made[0].path.exists()
    assert len(list(rollups.warehouse.glob("*.duckdb"))) == KEPT_BUILDS + 1


def test_a_build_being_made_elsewhere_stays(rollups):
    made = [rollups.build() for _ in range(KEPT_BUILDS + 3)]

    publish(made[-1])

    assert all(one.path.exists() for one in made)


def test_an_open_build_is_readable_after_it_was_deleted(rollups):
    rollups.write("quakes", "SELECT code FROM quakes_quake")
    made = [rollups.build() for _ in range(KEPT_BUILDS + 1)]
    with duckdb.connect(str(made[0].path), read_only=True) as reader:
        age(made[0].path, 3600)

        publish(made[-1])

        assert not made[0].path.exists()
        assert reader.execute("SELECT count(*) FROM quakes").fetchone() == (0,)


def test_copies_that_no_kept_build_names_go_after_a_while(rollups):
    rollups.write("quakes", "SELECT code FROM quakes_quake")
    models = rollups.warehouse / "models" / "quakes_quake"
    models.mkdir(parents=True)
    rollups.copies = models
    named, unnamed, fresh = (
        rollups.copy_quakes(name=name) for name in ("named", "unnamed", "fresh")
    )
    made = rollups.build({"quakes_quake": named})
    lost = rollups.build({"quakes_quake": unnamed})
    lost.path.unlink()
    for path in (named, unnamed, *made.exports.values(), *lost.exports.values()):
        age(path, 7200)

    publish(made)

    assert named.exists()
    assert fresh.exists()
    assert not unnamed.exists()
    assert made.exports["quakes"].exists()
    assert not lost.exports["quakes"].exists()


def test_what_a_killed_build_left_goes(rollups):
    made = rollups.build()
    left = rollups.warehouse / ".20240501T000000-abcd.duckdb.tmp"
    spilled = rollups.warehouse / "spill" / "1-abcd"
    left.touch()
    spilled.mkdir(parents=True)
    for path in (left, spilled):
        age(path, 2 * 86400)

    publish(made)

    assert not left.exists()
    assert not spilled.exists()


def test_a_build_that_cannot_be_read_keeps_every_copy(rollups):
    made = rollups.build()
    (rollups.warehouse / "99991231T000000-bad.duckdb").write_bytes(b"damaged")
    copy = rollups.warehouse / "models" / "old.parquet"
    copy.parent.mkdir()
    copy.touch()
    age(copy, 7200)

    publish(made)

    assert copy.exists()


HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
print("open", flush=True)
sys.stdin.readline()
print(connection.execute("SELECT count(*) FROM quakes_quake").fetchone()[0], flush=True)
"""


def test_a_build_that_another_process_reads_stays_with_its_copies(rollups):
    rollups.write("quakes", "SELECT code FROM quakes_quake")
    copy = rollups.copy_quakes(("a", "2024-05-01 10:00Z", 1.0))
    inside = rollups.warehouse / "models" / "quakes_quake" / "old.parquet"
    inside.parent.mkdir(parents=True)
    copy.rename(inside)
    old = rollups.build({"quakes_quake": inside})
    made = [rollups.build() for _ in range(KEPT_BUILDS + 1)]
    for path in (old.path, *(one.path for one in made[:-1])):
        age(path, 3600)
    age(inside, 2 * COPY_GRACE_S)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(old.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"

        publish(made[-1])
        while_read = old.path.exists()
        told, _ = holder.communicate("go on\n", timeout=60)
    sweep(rollups.warehouse)

    assert while_read
    assert told == "1\n"
    assert not old.path.exists()
    assert not inside.exists()
