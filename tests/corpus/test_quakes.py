"""Thirteen snapshots of the agency's feeds, imported, and served again to the live source."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raw_store.snapshots import read_files
from sources.quakes.models import Quake
from sources.quakes.transform import transform_day
from tests.sources.recorded import recorded, rows_of

from .measured import THEN, Program

pytestmark = pytest.mark.corpus

LIVE_URL = "https://earthquake.usgs.gov/earthquakes/feed/v1.0/summary/all_day.geojson"
TIMES_SERVED = 3


@pytest.fixture(scope="module")
def folders(corpus_folder):
    return sorted(path for path in (corpus_folder / "usgs-quakes").iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def snapshots(folders):
    """Every file, oldest first, as what one address returned."""
    return sorted(read_files(folders, LIVE_URL), key=lambda snapshot: snapshot.fetched_at)


@pytest.fixture(scope="module")
def imported(folders, tmp_path_factory):
    """The program after importing and replaying every file."""
    program = Program(tmp_path_factory.mktemp("imported"))
    importing = "archive", "import", "quakes.day", *map(str, folders), "--url", LIVE_URL
    program.run("migrate", "-v0", THEN, *importing, THEN, "replay", "quakes")
    return program


def test_every_quake_of_every_file_is_one_row(imported):
    assert imported.rows("SELECT count(*), count(DISTINCT code) FROM quakes_quake") == [
        (9_938, 9_938)
    ]
    assert imported.rows("SELECT count(*) FROM reshape_quarantineentry") == [(0,)]


def test_a_revised_quake_is_as_its_newest_file_says(imported, snapshots):
    newest = {}
    listed = 0
    for snapshot in snapshots:
        payload = recorded(
            "quakes.day", snapshot.body, url=LIVE_URL, fetched_at=snapshot.fetched_at
        )
        for row in rows_of(Quake, transform_day(payload)):
            newest[row["code"]] = (row["magnitude"], row["place"], row["is_rounded"])
            listed += 1

    found = imported.rows("SELECT code, magnitude, place, is_rounded FROM quakes_quake")

    assert listed == 10_690
    assert {code: (magnitude, place, bool(r)) for code, magnitude, place, r in found} == newest


def test_magnitudes_add_up(imported, corpus_folder):
    # The week's file is the newest that lists these quakes: the next is of the year after.
    (week,) = (corpus_folder / "usgs-quakes" / "all_week.geojson").iterdir()
    listed = {feature["id"] for feature in json.loads(week.read_bytes())["features"]}

    found = dict(imported.rows("SELECT code, magnitude FROM quakes_quake"))

    assert len(listed) == 1_513
    assert round(sum(found[code] for code in listed), 2) == 2_814.62


class Agency(ThreadingHTTPServer):
    """One address that answers with each snapshot a few times, then with the last for ever."""

    daemon_threads = True

    def __init__(self, snapshots):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.bodies = [snapshot.body for snapshot in snapshots]
        self.statuses = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Agency

    def do_GET(self):
        if self.path != "/all_day.geojson":
            self.send_error(404)
            return
        served = len(self.server.statuses) // TIMES_SERVED
        body = self.server.bodies[min(served, len(self.server.bodies) - 1)]
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        is_known = self.headers.get("If-None-Match") == etag
        self.server.statuses.append(304 if is_known else 200)
        self.send_response(304 if is_known else 200)
        self.send_header("ETag", etag)
        if not is_known:
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not is_known:
            self.wfile.write(body)

    def log_message(self, *arguments):
        """Say nothing."""


def test_the_scheduler_ends_in_the_rows_of_the_import(imported, snapshots, tmp_path):
    live = Program(tmp_path)
    live.run("migrate", "-v0")
    runs = len(snapshots) * TIMES_SERVED

    with Agency(snapshots) as agency:
        live.execute(
            "tests.corpus.live",
            str(runs),
            QUAKES_BASE_URL=agency.url,
            FX_BASE_URL=agency.url,
            ROOTCELLAR_APPS="",
        )

    assert agency.statuses[:runs] == [200, 304, 304] * len(snapshots)
    for table in ("quakes_quake", "quakes_network", "quakes_daily"):
        columns = [
            f'"{name}"'
            for _, name, *_ in imported.rows(f"PRAGMA table_info({table})")
            if name != "fetch_id"
        ]
        query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1"
        assert live.rows(query) == imported.rows(query)
