"""A process that is killed while it extracts loses nothing, and the next run goes on from there."""

from .extract import Extract
from .harness import run
from .stages import CI


def test_killed_runs_lose_nothing_and_their_watermark_is_never_ahead(tmp_path):
    report = run(Extract, CI["extract"], tmp_path)

    assert report.violations == 0, report
    assert report.acknowledged > 150
