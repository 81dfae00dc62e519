"""The origin: nginx on the loopback with 10,000 JSON pages of about 10 KB, sent as gzip."""

import gzip
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_PER_LISTING = 100
_WORDS = (  # noqa: SIM905
    "alpha bravo carbon delta ember fjord granite harbor indigo juniper kelp lagoon meadow nectar "
    "onyx prairie quartz river summit tundra umbra valley willow xenon yarrow zephyr county ridge"
).split()

_CONFIGURATION = """
{user}
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
    keepalive_requests 10000000; keepalive_timeout 600s;
    types {{ application/json json; }} default_type text/plain; gzip_static on;
    open_file_cache max=30000 inactive=600s; open_file_cache_valid 600s;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; root {folder}/site; }}
}}
"""


def nginx() -> str | None:
    """The program: BENCH_NGINX, or what is installed."""
    return os.environ.get("BENCH_NGINX") or shutil.which(
        "nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    )


@contextmanager
def serving(program: str, folder: Path, count: int) -> Iterator[str]:
    """The address of a running origin of `count` pages: /p/00000.json, and /index/0.json."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    _make_site(folder / "site", address, count)
    user = "user root;" if os.getuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, user=user))
    with (folder / "stderr").open("wb") as errors:
        server = subprocess.Popen([program, "-p", folder, "-c", configuration], stderr=errors)
    try:
        _wait_for(port, server, folder)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _wait_for(port: int, server: "subprocess.Popen[bytes]", folder: Path) -> None:
    for _ in range(100):
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nginx did not start: {(folder / 'stderr').read_text()}")


def _make_site(site: Path, address: str, count: int) -> None:
    for name in ("p", "index"):
        (site / name).mkdir(parents=True)
    for number in range(count):
        _write(site / "p" / f"{number:05d}.json", _page(number))
    for listing in range(0, count, _PER_LISTING):
        numbers = range(listing, min(listing + _PER_LISTING, count))
        following = listing + _PER_LISTING
        found = {
            "count": count,
            "next": f"{address}/index/{following // _PER_LISTING}.json"
            if following < count
            else None,
            "results": [
                {"slug": f"{n:05d}.json", "url": f"{address}/p/{n:05d}.json"} for n in numbers
            ],
        }
        _write(site / "index" / f"{listing // _PER_LISTING}.json", found)


def _write(path: Path, document: object) -> None:
    body = json.dumps(document).encode()
    path.write_bytes(body)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(body, 6, mtime=0))


def _page(number: int) -> object:
    chance = random.Random(number)
    records = [
        {
            "id": f"{number:05d}-{place:02d}",
            "name": " ".join(chance.choices(_WORDS, k=3)),
            "lat": round(chance.uniform(32, 42), 6),
            "lon": round(chance.uniform(-124, -114), 6),
            "acres": round(chance.expovariate(1 / 500), 2),
            "crews": chance.randrange(200),
            "updated": f"2024-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}",
            "note": " ".join(chance.choices(_WORDS, k=37)),
        }
        for place in range(23)
    ]
    return {"page": number, "count": len(records), "records": records}
