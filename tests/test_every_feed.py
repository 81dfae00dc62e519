"""Claims that hold for every feed of every shipped source, tested on its recorded payloads.

A new source gets these tests for nothing: put a recorded body of each feed in
tests/sources/NAME/payloads/.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl.walk import refresh
from raw_store.archive import Archive
from raw_store.feeds import all_feeds
from reshape.models import derived_models
from tests.sources.recorded import recorded

SOURCES = Path(__file__).parent / "sources"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FEEDS = [
    feed.name for feed in all_feeds() if (SOURCES.parent.parent / "sources" / feed.source).is_dir()
]


@pytest.fixture
def archived(home, request):
    """An archive that holds every recorded body of a source as a fetch of one of its feeds."""
    feed = request.param
    source = feed.partition(".")[0]
    files = sorted((SOURCES / source / "payloads").glob("*"))
    assert files, f"Put a recorded body of {feed} in tests/sources/{source}/payloads/."
    Archive().append_all(
        feed,
        [
            recorded(
                feed,
                file,
                url=f"https://source.example/{file.name}",
                fetched_at=NOON + timedelta(minutes=minute),
            )
            for minute, file in enumerate(files)
        ],
        complete_runs=True,
    )
    return source


def tables(source):
    return {
        model: sorted(map(str, model._default_manager.values_list()))
        for model in derived_models(source)
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("archived", FEEDS, indirect=True)
def test_replaying_twice_changes_nothing(archived):
    first = refresh(archived)
    rows = tables(archived)

    second = refresh(archived, trust_copies=False)

    assert first.derivation.parsed.record_count > 0
    assert second.derivation.parsed.payload_count == 0
    assert second.loaded.changed_count == 0
    assert tables(archived) == rows
