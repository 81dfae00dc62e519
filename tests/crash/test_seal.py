"""A process that is killed while it seals loses nothing it had acknowledged."""

from .harness import run
from .seal import Seal
from .stages import CI


def test_killed_seals_lose_nothing_and_tear_nothing(tmp_path):
    report = run(Seal, CI["seal"], tmp_path)

    assert report.violations == 0, report
    assert report.acknowledged > 300
