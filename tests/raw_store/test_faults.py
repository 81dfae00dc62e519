"""Each system call that makes a local segment durable fails in turn; the promise holds."""

import errno
import os
import re
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from raw_store import durability
from raw_store.durability import write_file
from raw_store.errors import SealFailed
from raw_store.files import list_files

PATH = "source=a/feed=a.b/date=2026-03-01/x.parquet"
FOLDER = "source=a/feed=a.b/date=2026-03-01"
TEMPORARY = f"{FOLDER}/.x.parquet.tmp"
BODY = os.urandom(100_000)


def make(file) -> None:
    file.write(BODY)


class Disk:
    """The system calls below a folder, told in order; one of them can be made to fail."""

    def __init__(self, root: Path):
        self.root = root
        self.told: list[str] = []
        self.fail_at: int | None = None
        self.fail_after = False
        self.fail_for_good = False
        self.error: BaseException = OSError(errno.EIO, "Input/output error")
        self._open: dict[int, str] = {}

    def below(self, path: Any) -> str:
        found = self._open.get(path, "") if isinstance(path, int) else os.fspath(path)
        return os.path.relpath(found, self.root) if found else ""

    def call(self, name: str, real: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        target = self.below(arguments[0])
        if not target or target.startswith("../"):
            return real(*arguments, **options)
        number = len(self.told)
        self.told.append(f"{name} {target}")
        fails = number == self.fail_at or (
            self.fail_for_good and self.fail_at is not None and number > self.fail_at
        )
        if fails and not self.fail_after:
            raise self.error
        result = real(*arguments, **options)
        if name == "open":
            self._open[result] = os.fspath(arguments[0])
        if fails:
            raise self.error
        return result


@contextmanager
def watched(root: Path, **faults: Any):
    """The system calls of `os`, watched and failing as asked, for the folder `root`."""
    disk = Disk(root)
    for name, value in faults.items():
        setattr(disk, name, value)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mkdir", "open", "fsync", "rename", "unlink"):
            real = getattr(os, name)

            def replaced(*arguments, name=name, real=real, **options):
                return disk.call(name, real, *arguments, **options)

            patch.setattr(os, name, replaced)
        yield disk


@pytest.fixture
def root(tmp_path) -> Path:
    folder: Path = tmp_path / "archive"
    folder.mkdir()
    return folder


def test_the_order_is_folders_then_file_then_rename_then_folder(root):
    with watched(root) as disk:
        write_file(str(root), PATH, make)

    assert disk.told == [
        "open ..",
        "fsync ..",
        "mkdir source=a",
        "open .",
        "fsync .",
        "mkdir source=a/feed=a.b",
        "open source=a",
        "fsync source=a",
        f"mkdir {FOLDER}",
        "open source=a/feed=a.b",
        "fsync source=a/feed=a.b",
        f"open {TEMPORARY}",
        f"fsync {TEMPORARY}",
        f"rename {TEMPORARY}",
        f"open {FOLDER}",
        f"fsync {FOLDER}",
    ]


def test_a_second_segment_in_a_folder_costs_two_fsyncs(root):
    write_file(str(root), PATH, make)

    with watched(root) as disk:
        write_file(str(root), PATH.replace("x.parquet", "y.parquet"), make)

    calls = [each.partition(" ")[0] for each in disk.told]
    assert calls == ["open", "fsync", "rename", "open", "fsync"]


def test_a_folder_that_another_process_has_just_made_is_made_durable_too(root):
    (root / FOLDER).mkdir(parents=True)

    with watched(root) as disk:
        write_file(str(root), PATH, make)

    assert {"fsync .", "fsync source=a", "fsync source=a/feed=a.b"} <= set(disk.told)


CALL_COUNT = 16


@pytest.mark.parametrize("fail_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()],
    ids=["broken", "interrupted"],
)
@pytest.mark.parametrize("number", range(CALL_COUNT))
def test_when_a_call_fails_nothing_is_left_and_the_next_attempt_succeeds(
    root, number, error, fail_after
):
    """An error after the call has done its work is one that came too late to prevent it."""
    faults = {"fail_at": number, "error": error, "fail_after": fail_after}

    with watched(root, **faults) as disk:
        try:
            write_file(str(root), PATH, make)
        except (SealFailed, KeyboardInterrupt):
            assert list_files(str(root)) == []
            write_file(str(root), PATH, make)
        else:
            # The folder is there, whatever was said of making it.
            assert disk.told[number].startswith("mkdir ")

    assert (root / PATH).read_bytes() == BODY
    assert [file.path for file in list_files(str(root))] == [PATH]


@pytest.mark.parametrize("number", range(CALL_COUNT))
def test_a_disk_that_fails_for_good_leaves_a_temporary_or_a_whole_file(root, number):
    faults = {"fail_at": number, "fail_for_good": True}

    with watched(root, **faults), pytest.raises(SealFailed, match="input/output error"):
        write_file(str(root), PATH, make)

    for file in list_files(str(root)):
        is_whole = (root / file.path).read_bytes() == BODY
        assert file.is_temporary or (file.is_segment and is_whole)


def test_a_write_that_fails_midway_leaves_nothing(root):
    def fail(file) -> None:
        file.write(BODY)
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(SealFailed, match="the disk is full"):
        write_file(str(root), PATH, fail)

    assert list_files(str(root)) == []


def test_a_failed_fsync_is_not_tried_again(root):
    write_file(str(root), PATH.replace("x.parquet", "y.parquet"), make)

    with watched(root, fail_at=1) as disk, pytest.raises(SealFailed):
        write_file(str(root), PATH, make)

    assert [each for each in disk.told if each.startswith("fsync")] == [f"fsync {TEMPORARY}"]


def test_no_reader_sees_a_file_before_it_is_whole(root):
    seen = []

    def look(file) -> None:
        file.write(BODY)
        file.flush()
        seen.extend([*root.rglob("*.parquet"), *(f for f in list_files(str(root)) if f.is_segment)])

    write_file(str(root), PATH, look)

    assert seen == []
    assert (root / PATH).read_bytes() == BODY


def test_a_file_is_never_replaced(root):
    write_file(str(root), PATH, make)

    with pytest.raises(SealFailed, match="there already"):
        write_file(str(root), PATH, lambda file: file.write(b"another"))

    assert (root / PATH).read_bytes() == BODY
    assert [file.path for file in list_files(str(root))] == [PATH]


def test_another_writers_temporary_file_is_left_alone(root):
    (root / FOLDER).mkdir(parents=True)
    (root / TEMPORARY).write_bytes(b"theirs")

    with pytest.raises(SealFailed, match="File exists"):
        write_file(str(root), PATH, make)

    assert [file.path for file in list_files(str(root))] == [TEMPORARY]
    assert (root / TEMPORARY).read_bytes() == b"theirs"


def test_of_many_writers_of_one_name_one_wins(root):
    outcomes: list[bytes | None] = []

    def compete(body: bytes) -> None:
        try:
            write_file(str(root), PATH, lambda file: file.write(body))
        except SealFailed:
            outcomes.append(None)
        else:
            outcomes.append(body)

    threads = [Thread(target=compete, args=(b"%d" % n * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (winner,) = (each for each in outcomes if each is not None)
    assert (root / PATH).read_bytes() == winner
    assert [file.path for file in list_files(str(root))] == [PATH]


def test_the_docstring_states_the_order_that_the_code_keeps():
    said = re.sub(r"\s+", " ", durability.__doc__ or "")

    assert "fsync the file; rename; fsync the folder" in said
