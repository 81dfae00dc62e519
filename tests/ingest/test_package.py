"""The package itself: what it says that it offers is there, loaded or not yet."""

import subprocess
import sys
from pathlib import Path

import pytest

import ingest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ingest.__all__)
def test_what_it_offers_is_there(name):
    assert getattr(ingest, name) is not None
    assert name in dir(ingest)


def test_what_it_does_not_offer_is_told_of():
    with pytest.raises(AttributeError, match="has no attribute 'fetcher'"):
        ingest.fetcher  # noqa: B018


def test_importing_it_loads_no_http():
    said = "import sys, ingest; print('httpx' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True)

    assert done.stdout.strip() == "False", done.stderr
