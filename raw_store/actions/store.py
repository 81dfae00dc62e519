"""`archive check-store`: whether the store keeps the promises that the archive rests on."""

from ..archive import Archive
from ..store_check import check_store
from . import Action, Options, Terminal

_CHECK = """
examples:
  manage.py archive check-store                    the archive of this installation
  ARCHIVE_URL=s3://… manage.py archive check-store     a store to move to

A small file is made durable, listed, read back, deleted, and listed no more; the time of
each step is shown. The server and `extract` do the same when they start.
Exit code 0: every promise is kept. 1: one is not; it is named, with what to do.
"""


def _check(archive: Archive, options: Options, terminal: Terminal) -> None:
    report = check_store(archive.url)
    for promise, seconds in report.steps.items():
        terminal.say(f"{1000 * seconds:8.1f} ms  {promise}")
    for warning in report.warnings:
        terminal.complain(f"{warning.check_id}: {warning.text} {warning.hint}")
    terminal.say(f"{report.address} keeps every promise ({1000 * report.seconds:,.0f} ms).")


ACTIONS = [
    Action(
        name="check-store",
        summary="Try out what the archive needs of its store.",
        examples=_CHECK,
        run=_check,
    )
]
