"""Twelve files of euro reference rates, of 2014 to 2025."""

import json
from decimal import Decimal

import duckdb
import pytest
from lxml import etree

from .measured import THEN, Program

pytestmark = pytest.mark.corpus

LIVE_URL = "https://www.ecb.europa.eu/stats/eurofxref"
CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"


@pytest.fixture(scope="module")
def quoted(corpus_folder):
    """Each (day, currency), and how the files that quote it write the rate."""
    found: dict[tuple[str, str], set[str]] = {}
    for file in sorted((corpus_folder / "ecb-fx").glob("*/*.xml")):
        for day in etree.parse(file).getroot().iterfind(f"{CUBE}/{CUBE}"):
            for rate in day:
                key = str(day.attrib["time"]), str(rate.attrib["currency"])
                found.setdefault(key, set()).add(str(rate.attrib["rate"]))
    return found


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("fx"))


@pytest.fixture(scope="module")
def changes(program, corpus_folder):
    """Every file loaded; what the 90-day files changed in the rows of the daily files."""

    def importing(feed, name):
        folder = str(corpus_folder / "ecb-fx" / name)
        return "archive", "import", f"fx.{feed}", folder, "--url", f"{LIVE_URL}/{name}"

    replay = "replay", "fx"
    daily = *importing("daily", "eurofxref-daily.xml"), THEN, *replay
    hist = *importing("hist_90d", "eurofxref-hist-90d.xml"), THEN, *replay, "--diff", "--json"
    done = program.run("migrate", "-v0", THEN, *daily, THEN, *hist)
    program.run(*replay)
    tables = json.loads(done.output.splitlines()[-1])["tables"]
    return {table["table"]: table for table in tables}


def test_every_rate_is_one_row(program, changes, quoted):
    counted = program.rows(
        "SELECT count(*), count(DISTINCT day), count(DISTINCT currency_id) FROM fx_rate"
    )

    assert counted == [(13_950, 443, 33)]
    assert len(quoted) == 13_950


def test_rates_are_as_published_to_the_last_digit(program, changes, quoted, tmp_path):
    file = tmp_path / "rates.duckdb"
    program.run("replay", "fx", "--into", str(file))

    with duckdb.connect(str(file), read_only=True) as database:
        rows = database.execute("SELECT day::VARCHAR, currency_id, per_euro FROM fx_rate")
        found = {(day, currency): {rate} for day, currency, rate in rows.fetchall()}

    assert found == {key: {Decimal(rate) for rate in rates} for key, rates in quoted.items()}


def test_other_trailing_zeros_are_no_change(changes, quoted):
    twice_written = [key for key, rates in quoted.items() if len(rates) > 1]

    assert len(twice_written) == 13
    assert changes["fx_rate"]["added"] > 13_000
    assert changes["fx_rate"]["changed"] == 0
