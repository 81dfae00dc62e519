"""A process that is killed while it replays leaves all of the old rows, or all of the new."""

from .harness import run
from .replay import Replay
from .stages import CI


def test_killed_replays_leave_old_rows_or_new_ones_and_whole_files(tmp_path):
    report = run(Replay, CI["replay"], tmp_path)

    assert report.violations == 0, report
