"""A home folder that was moved: builds name their files by absolute path, and are made anew."""

import shutil
import threading

import pytest
from django.core.management import CommandError, call_command

from etl.on_change import catch_up
from etl.walk import refresh
from raw_store.archive import Archive
from tests.making import make_payload
from warehouse.publish import current_build

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "SELECT (SELECT count(*) FROM sample_author) + (SELECT count(*) FROM archive) AS found"


@pytest.fixture
def moved(home, settings, tmp_path):
    """Archive and replay a page, then move everything to another folder."""
    body = {"authors": [{"code": "ann", "name": "Ann"}]}
    Archive().append_all("sample.pages", [make_payload("sample.pages", body)])
    refresh("sample")
    new = tmp_path / "moved"
    new.mkdir()
    for name in ("archive", "records", "warehouse"):
        shutil.move(home / name, new / name)
    settings.ROOTCELLAR_HOME = new
    settings.ARCHIVE_URL = str(new / "archive")
    settings.RECORDS_DIR = new / "records"
    settings.WAREHOUSE_DIR = new / "warehouse"


def replay():
    refresh("sample")


def start_server():
    catch_up(threading.Event())


def build():
    call_command("build_rollups", verbosity=0)


@pytest.mark.parametrize("what", [replay, start_server, build])
def test_what_comes_next_makes_a_build_of_the_files_where_they_are(moved, capfd, what):
    what()

    call_command("sql", command=QUESTION, format="csv")
    out, err = capfd.readouterr()
    assert out.splitlines()[-2:] == ["found", "2"]
    assert err == ""


def test_sql_says_what_to_do_before(moved, capfd):
    with pytest.raises(CommandError, match="Cannot access file"):
        call_command("sql", command=QUESTION)

    assert "run `manage.py build_rollups` to make one here" in capfd.readouterr().err


def test_another_place_of_the_archive_alone_makes_another_build(home, settings):
    body = {"authors": [{"code": "ann", "name": "Ann"}]}
    Archive().append_all("sample.pages", [make_payload("sample.pages", body)])
    refresh("sample")
    before = current_build()
    shutil.move(home / "archive", home / "the archive's new place")
    settings.ARCHIVE_URL = str(home / "the archive's new place")

    refresh("sample")
    after = current_build()
    refresh("sample")

    assert before != after == current_build()
