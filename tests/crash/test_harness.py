"""The harness notices what it is there to notice: programs broken on purpose are found out."""

from .broken import AdvancesEarly, CommitsFirst, WritesInPlace
from .harness import run
from .stages import CI, SHARES, STAGES


def test_a_payload_acknowledged_before_its_file_is_there_is_reported_lost(tmp_path):
    report = run(CommitsFirst, 2, tmp_path)

    assert report.lost > 0, report
    assert "acknowledged fetches are gone" in " ".join(report.said)


def test_a_segment_written_in_place_is_reported_torn(tmp_path):
    report = run(WritesInPlace, 2, tmp_path)

    assert report.torn > 0, report
    assert (report.lost, report.ahead) == (0, 0)


def test_a_watermark_committed_before_its_pages_is_reported_ahead(tmp_path):
    report = run(AdvancesEarly, 2, tmp_path)

    assert report.ahead > 0, report


def test_every_stage_is_killed_and_at_least_two_hundred_times_in_all():
    assert set(CI) == set(STAGES) == set(SHARES)
    assert sum(CI.values()) >= 200
