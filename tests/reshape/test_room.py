"""A full disk is named, whatever library meets it, and a replay that is repeated goes on."""

import errno
import os

import duckdb
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from etl.walk import refresh
from raw_store.archive import Archive
from reshape import link, records
from reshape.errors import DiskFull
from reshape.room import room_needed
from tests.making import make_payload
from tests.sample.models import Author


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        (records, "pq", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        (link, "write_copy", duckdb.IOException("Could not write file x: No space left on device")),
    ],
)
def test_a_replay_without_room_says_so_and_the_next_goes_on(home, monkeypatch, module, name, error):
    archive = Archive()
    body = {"authors": [{"code": "a", "name": "Ann"}]}
    archive.append_all("sample.pages", [make_payload("sample.pages", body)])

    class Full:
        def ParquetWriter(self, *_, **__):
            raise error

        def __call__(self, *_, **__):
            raise error

    with monkeypatch.context() as patched:
        patched.setattr(module, name, Full())
        with pytest.raises(CommandError, match=f"The disk is full.*Free some space in {home}"):
            call_command("replay", "sample", verbosity=0)
    refresh("sample", archive=archive)

    assert Author.objects.get().name == "Ann"


def test_an_error_of_another_kind_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), room_needed():
        pq.read_table(tmp_path / "nothing.parquet")
    with pytest.raises(duckdb.IOException), room_needed():
        raise duckdb.IOException("no such file")


def test_the_cause_is_told():
    with pytest.raises(DiskFull, match="Disk quota exceeded"), room_needed():
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
