"""What this process may use of the machine: cores and memory, as its container allows."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_UNKNOWN_MEMORY = 2 * 1024**3
"""Assumed where the system does not say."""


def available_cores(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """How many cores this process may keep busy; at least one."""
    cores = float(_affinity())
    for folder in _folders(cgroups, own):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            cores = min(cores, int(quota) / int(period))
    return max(1, int(cores))


def available_memory(
    cgroups: Path = _CGROUPS,
    own: Path = Path("/proc/self/cgroup"),
    meminfo: Path = Path("/proc/meminfo"),
) -> int:
    """Bytes that this process and its children may still take."""
    free = _UNKNOWN_MEMORY
    with suppress(OSError, StopIteration, ValueError):
        lines = meminfo.read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        free *= 1024
    for folder in _folders(cgroups, own):
        for limit, used, reclaimable in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            # "max" is no number: there is no limit here.
            with suppress(OSError, ValueError):
                left = int((folder / limit).read_text()) - int((folder / used).read_text())
                free = min(free, left + _counted(folder / "memory.stat", reclaimable))
    return max(0, free)


def _counted(statistics: Path, name: str) -> int:
    """Page cache counts as used, and is given back when memory runs short."""
    for line in statistics.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _folders(cgroups: Path, own: Path) -> Iterator[Path]:
    """The folders of this process's control groups and of all above them."""
    yield cgroups
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            # Version 2 has one tree; version 1 has one per controller, named after it.
            top = cgroups / controllers if controllers else cgroups
            yield top
            folder = top
            for part in Path(path).parts[1:]:
                folder /= part
                yield folder


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
