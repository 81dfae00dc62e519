"""`python -m bench.archive.large_body`: a body of 2 GB, from the network into the archive and back.

A process of its own extracts it (`tests/ingest/large_body.py`): the body goes through an unnamed
file into the segment, the extractor reads it twice, then the segment is read. `peak_mb` is the
most the process ever held, Django included. The body is hexadecimal digits; one block in two is new
and random, the other repeats the one before.
"""

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from . import home

Result = dict[str, object]
SIZE = 2_000_000_000
_BLOCK = 1_000_000


def measure(folder: Path, *, size: int = SIZE) -> Result:
    """Archive a body of `size` bytes in a home below `folder`."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "etl.settings",
        "ROOTCELLAR_HOME": str(folder),
        "ROOTCELLAR_APPS": "",
        "DATABASE_URL": "",
        "ARCHIVE_URL": "",
    }
    python = [sys.executable]
    subprocess.run([*python, "manage.py", "migrate", "-v0"], env=environment, check=True)
    sent = hashlib.sha256()
    listener = socket.create_server(("127.0.0.1", 0))
    sender = threading.Thread(target=_send, args=(listener, size, sent))
    sender.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    command = [*python, "-m", "tests.ingest.large_body", url]
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    took = time.perf_counter() - started
    sender.join()
    told: Result = json.loads(done.stdout.splitlines()[-1])
    digests = {told[name] for name in ("body_digest", "stored_digest")} | set(_seen(told))
    if told["outcome"] != "complete" or digests != {sent.hexdigest()}:
        raise SystemExit(f"The body did not come through: {told}")
    return {
        "size": told["body_size"],
        "file_bytes": told["file_bytes"],
        "process_seconds": round(took, 1),
        "left_over": [path.name for path in (folder / "spool").iterdir()],
        "steps": {
            "archive": {
                "seconds": told["archive_seconds"],
                "peak_mb": told["archive_peak_mb"],
            },
            "read": {"seconds": told["read_seconds"], "peak_mb": told["peak_mb"]},
        },
    }


def _seen(told: Result) -> list[str]:
    seen = told["seen"]
    assert isinstance(seen, list)
    return seen


def _send(listener: socket.socket, size: int, sent: "hashlib._Hash") -> None:
    with listener, listener.accept()[0] as connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for block in _blocks(size):
            sent.update(block)
            connection.sendall(block)


def _blocks(size: int) -> Iterator[bytes]:
    chance = random.Random(1)
    block, number = b"", 0
    while size > 0:
        if number % 2 == 0:
            block = chance.randbytes(_BLOCK // 2).hex().encode()
        yield block[:size]
        size -= len(block)
        number += 1


if __name__ == "__main__":
    with home.temporary_folder("large_body") as below:
        print(json.dumps(measure(below), indent=2))
