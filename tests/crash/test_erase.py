"""An erasure that is killed is finished later, and nothing of what it erased comes back."""

from .erase import Erase
from .harness import run
from .stages import CI


def test_killed_erasures_are_finished_and_nothing_comes_back(tmp_path):
    report = run(Erase, CI["erase"], tmp_path)

    assert report.violations == 0, report
