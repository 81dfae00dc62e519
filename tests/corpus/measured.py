"""Run a command of the program in a process of its own, and measure what it needed.

    python -m tests.corpus.measured replay calfire

prints what the command prints, and on the last line its seconds and megabytes as JSON.
"""

import json
import os
import resource
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
THEN = ";"
"""Between two commands that run in one process, one after the other."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command that ended well."""

    output: str
    seconds: float
    megabytes: float
    """At most: the process's own peak, and the largest child's once for each parse worker."""


@dataclass(frozen=True, slots=True)
class Program:
    """The program on a home folder of its own."""

    home: Path

    def run(self, *command: str) -> Step:
        """Run `manage.py COMMAND…`; an error in it raises with what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.corpus.measured", *command],
            cwd=ROOT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "etl.settings",
                "ROOTCELLAR_APPS": "tests.corpus.calfire,tests.corpus.pge",
                "ROOTCELLAR_HOME": str(self.home),
                "PARSE_WORKERS": str(WORKERS),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}\n{done.stderr}"
        output, _, measured = done.stdout.rstrip("\n").rpartition("\n")
        return Step(output, **json.loads(measured))


def main() -> None:
    from django.core.management import execute_from_command_line

    started = time.monotonic()
    for command in shlex.join(sys.argv[1:]).split(shlex.quote(THEN)):
        execute_from_command_line(["manage.py", *shlex.split(command)])
    own, child = (
        resource.getrusage(who).ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    seconds = time.monotonic() - started
    measured = {"seconds": round(seconds, 1), "megabytes": round(own + WORKERS * child)}
    sys.stdout.write(f"{json.dumps(measured)}\n")


if __name__ == "__main__":
    main()
