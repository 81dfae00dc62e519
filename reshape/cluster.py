"""Parsing on a cluster of `dask.distributed` workers, which share the folder of record files.

A task writes files of a name that follows from what it does, each under a temporary name of its
own first. So a task that the scheduler gives out twice, because its worker died, changes nothing.
"""

import logging
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

from django.conf import settings

from . import worker
from .errors import ClusterUnusable

logger = logging.getLogger(__name__)

CONNECT_S = 10
"""Seconds to wait for the scheduler, and for its first worker."""
ABANDONED_S = 60.0
"""Seconds that a cluster may be without any worker before a replay gives up."""
R = TypeVar("R")
Submit = Callable[[Executor, Callable[[Any], Any], Any], "Future[Any]"]


@contextmanager
def connected(
    address: str, tasks: Sequence[Any]
) -> Iterator[tuple[Executor, int, Submit, Callable[[], None]]]:
    """The executor of the scheduler at `address`, how many tasks it does at a time, how to submit
    one, and what raises once no worker is left.

    Every worker is looked at first. Raises `ClusterUnusable`.
    """
    try:
        import distributed
    except ImportError:
        raise ClusterUnusable(
            f"REPLAY_CLUSTER is {address}, and the package `distributed` is not installed. "
            "Install it here and on the workers, in one version: `pip install distributed`."
        ) from None
    records = Path(settings.RECORDS_DIR)
    records.mkdir(parents=True, exist_ok=True)
    probe = records / f".cluster-{uuid4().hex}"
    try:
        client: Any = cast(Any, distributed).Client(
            address, timeout=CONNECT_S, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise ClusterUnusable(
            f"No scheduler answers at REPLAY_CLUSTER={address} ({error}). Start one with "
            "`dask scheduler`, or unset REPLAY_CLUSTER to parse on this machine."
        ) from error
    probe.touch()
    executor = client.get_executor(pure=False)
    is_done = False
    try:
        places = _ready_places(client, probe, tasks[0])

        def submit(to: Executor, work: Callable[[Any], R], task: Any) -> "Future[R]":
            return to.submit(worker.do, pickle.dumps((work, task)), str(probe))

        yield executor, places, submit, _Watch(client, address)
        is_done = True
    except CancelledError:
        raise ClusterUnusable(
            f"The connection to the scheduler at {address} was lost. What was parsed is kept; the "
            "next replay goes on from there."
        ) from None
    except worker.NotShared as error:
        raise ClusterUnusable(
            f"A worker that came later lacks something: {error}. Mount the folder there."
        ) from error
    finally:
        executor.shutdown(wait=is_done)
        client.close()
        probe.unlink(missing_ok=True)


class _Watch:
    """Raises `ClusterUnusable` where the cluster has been without a worker for too long: the
    scheduler would wait for one for ever."""

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address
        self._gone_at: float | None = None

    def __call__(self) -> None:
        try:
            is_empty = not self._client.nthreads()
        except OSError:
            return  # the connection; where it is lost, the tasks say so
        if not is_empty:
            self._gone_at = None
            return
        self._gone_at = self._gone_at or time.monotonic()
        if time.monotonic() - self._gone_at > ABANDONED_S:
            raise ClusterUnusable(
                f"The scheduler at {self._address} has had no worker for {ABANDONED_S:g} s. What "
                "was parsed is kept; start workers, and the next replay goes on from there."
            )


def _ready_places(client: Any, probe: Path, task: Any) -> int:
    """How many tasks the workers do at a time, each of them having what it needs."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError:
        raise ClusterUnusable(
            f"The scheduler at {settings.REPLAY_CLUSTER} has no worker. Start some in the "
            "project's folder, with the environment of this process: `dask worker ADDRESS`."
        ) from None
    found = client.run(
        worker.look_round, str(probe), task.archive_url, task.path, on_error="return"
    )
    problems = []
    for name, lacking in sorted(found.items()):
        if isinstance(lacking, BaseException):
            lacking = [f"it cannot import the project: {type(lacking).__name__}: {lacking}"]
        problems += [f"{name}: {problem}" for problem in lacking]
    if problems:
        listed = "\n  ".join(problems)
        raise ClusterUnusable(
            f"Workers of {settings.REPLAY_CLUSTER} lack what they need:\n  {listed}\n"
            "Start them in the project's folder, with the settings of this process "
            "(DJANGO_SETTINGS_MODULE, ROOTCELLAR_APPS, what the archive needs), and with "
            "ROOTCELLAR_HOME on a folder that all of them share."
        )
    threads = client.nthreads()
    logger.info("parsing on a cluster workers=%d places=%d", len(threads), sum(threads.values()))
    return int(sum(threads.values()))
