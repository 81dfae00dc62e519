"""Following the archive: what others sealed is replayed, and one bad source stops no other."""

import threading

import pytest

from etl import follow as following
from etl.follow import follow
from raw_store.archive import Archive
from raw_store.models import Segment
from tests.making import make_payload
from tests.sample.models import Author

ANN = {"authors": [{"code": "ann", "name": "Ann"}]}
BOB = {"authors": [{"code": "bob", "name": "Bob"}]}


class Rounds(threading.Event):
    """A stop signal that comes after as many rounds as there are things to do between them."""

    def __init__(self, *between):
        super().__init__()
        self.between = list(between)
        self.pauses = []

    def wait(self, timeout=None):
        self.pauses.append(timeout)
        if not self.between:
            self.set()
            return True
        self.between.pop(0)()
        return False


def archive_page(body, minute):
    Archive().append_all("sample.pages", [make_payload("sample.pages", body, minute=minute)])


@pytest.mark.django_db(transaction=True)
def test_what_someone_else_seals_is_replayed_in_the_next_round(home):
    archive_page(ANN, minute=0)
    seen = []

    def seal_another() -> None:
        seen.append(names())
        archive_page(BOB, minute=1)

    follow(["sample"], Rounds(seal_another))

    assert seen == [{"Ann"}]
    assert names() == {"Bob"}


@pytest.mark.django_db(transaction=True)
def test_a_round_without_news_replays_nothing(home, caplog):
    archive_page(ANN, minute=0)

    with caplog.at_level("INFO", logger="etl.walk"):
        follow(["sample"], Rounds(lambda: None, lambda: None))

    assert [r.message for r in caplog.records if r.message.startswith("refreshed")] == [
        "refreshed source=sample changed=1"
    ]


@pytest.mark.django_db(transaction=True)
def test_a_source_that_cannot_be_replayed_stops_no_other_and_is_tried_again(home, caplog):
    archive_page(ANN, minute=0)
    rounds = Rounds(lambda: None)

    follow(["no_such_source", "sample"], rounds)

    assert names() == {"Ann"}
    assert rounds.pauses == [following.RETRY_AFTER_S] * 2
    assert caplog.text.count("replay failed source=no_such_source") == 2


def names() -> set[str]:
    assert Segment.objects.exists()
    return set(Author.objects.values_list("name", flat=True))
