"""Where and with what the figures were taken: cores, memory, versions."""

import importlib.metadata
import os
import platform
import sqlite3
import subprocess
from pathlib import Path

_PACKAGES = ("django", "pyarrow", "duckdb", "zstandard", "warcio", "orjson")


def describe() -> dict[str, object]:
    """The machine and the versions that bear on the figures."""
    return {
        "cores": os.cpu_count(),
        "processor": _field(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "git": _first_line("git", "--version"),
        "revision": _first_line("git", "rev-parse", "--short", "HEAD"),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _field(path: Path, name: str) -> str:
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def _first_line(*command: str) -> str:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
