"""Work for the tests of executors, as a worker process imports it."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Charge:
    """A task that may kill the process it runs in."""

    name: str
    folder: Path
    kills: int = 0
    """How often it kills its process, before it ends well."""
    weight: int = 1
    memory_bytes: int = 0
    fills_cores: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"segment {self.name}"


def explode(task: Charge) -> str:
    (task.folder / f"pid-{os.getpid()}").touch()
    tried = len(list(task.folder.glob(f"{task.name}.*")))
    (task.folder / f"{task.name}.{tried}").touch()
    if tried < task.kills:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(task.seconds)
    return task.name


def stop_everyone(task: Charge) -> str:
    """Send SIGTERM to the worker that this runs in, as a supervisor of processes does."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
    return task.name


def end_at_once() -> None:
    """End this process before it has begun."""
    os._exit(3)
