"""What is acknowledged stays, whatever happens to the process that writes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raw_store.durability import hide_file, open_input, write_file
from raw_store.files import list_files

PROJECT = Path(__file__).parents[2]


def test_two_processes_write_at_once(home):
    migrate(home)
    writers = [start_child(home, "write", home / "archive", name, 40) for name in ("one", "two")]

    counts = [finish(writer)["acknowledged"] for writer in writers]

    assert counts == [40, 40]
    listed = json.loads(manage(home, "archive", "list", "--json").stdout)
    assert [(row["payloads"], row["segments"]) for row in listed] == [(80, 16)]
    assert "all is well" in manage(home, "archive", "verify").stdout


def test_a_seal_without_room_fails_clearly_and_the_next_run_goes_on(home):
    told = run_child(home, "starved", home / "archive", 500_000)

    assert "larger than the system allows" in told["message"]
    assert "not acknowledged" in told["message"]
    assert told["after_failure"] == []
    assert told["next_run"] == 1
    assert leftovers(home) == []


def test_a_full_disk_fails_the_seal_clearly_and_leaves_no_file(home, small_disk):
    told = run_child(home, "starved", small_disk, 0)

    left = [path for path in small_disk.rglob("*") if path.is_file()]
    assert "disk is full" in told["message"]
    assert (told["after_failure"], told["next_run"]) == ([], 1)
    assert [path.suffix for path in left] == [".parquet"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def small_disk(home) -> Iterator[Path]:
    """A disk of half a megabyte, where the system lets us mount one."""
    disk = home / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def leftovers(home: Path) -> list[Path]:
    return [path for path in (home / "archive").rglob("*") if path.suffix == ".tmp"]


def run_child(home: Path, action: str, *arguments) -> dict[str, Any]:
    return finish(start_child(home, action, *arguments))


def start_child(home: Path, action: str, *arguments) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.raw_store.child", action, *map(str, arguments)],
        cwd=PROJECT,
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    told: dict[str, Any] = json.loads(output)
    return told


def migrate(home: Path) -> None:
    manage(home, "migrate", "-v0")


def manage(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
    )


def environment(home: Path) -> dict[str, str]:
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.raw_store.alone",
        "ROOTCELLAR_TEST_HOME": str(home),
    }


def test_a_hidden_segment_is_in_no_listing_and_can_still_be_read(tmp_path):
    url, path = str(tmp_path), "source=a/feed=a.b/x.parquet"
    write_file(url, path, lambda file: file.write(b"whole"))

    hide_file(url, path)
    hide_file(url, path)

    assert [file.path for file in list_files(url) if file.is_segment] == []
    with open_input(url, path) as file:
        assert file.read() == b"whole"


def test_a_missing_segment_is_named_by_its_own_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file a/x\.parquet below"):
        open_input(str(tmp_path), "a/x.parquet")

    with pytest.raises(FileNotFoundError):
        hide_file(str(tmp_path), "a/x.parquet")
