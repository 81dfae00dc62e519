"""The bundled origin: the same day is always the same site, and HTTP says what it should."""

import gzip
import http.client
import json

import pytest

from sources.farm.origin import Origin
from sources.farm.origin.pages import answer
from sources.farm.origin.world import FIRST_ITEMS, date_of, smudged_item, world

DAYS = range(21)


def get(origin, path, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=5)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=named)
    response = connection.getresponse()
    found = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return found


def test_a_day_is_the_same_in_every_process():
    day = world(4)

    assert day.items[0].name == "Amber Mushroom"
    assert [quest.slug for quest in day.quests[:2]] == [
        "a-coat-for-uncle-pilk",
        "cold-feet-warm-broth",
    ]
    assert day.shops[0].prices[:2] == (("amber-mushroom", 24), ("brackish-barley", 5))


def test_a_day_can_be_asked_for_again_out_of_order():
    first = [answer("/market/prices.xml", day).body for day in DAYS]
    world.cache_clear()

    again = [answer("/market/prices.xml", day).body for day in reversed(DAYS)]

    assert list(reversed(again)) == first


def test_every_day_brings_an_item_and_a_quest_and_moves_prices():
    for day in DAYS[1:]:
        before, after = world(day - 1), world(day)

        assert len(after.known_items) == FIRST_ITEMS + day
        assert {quest.slug for quest in after.quests} - {quest.slug for quest in before.quests}
        assert before.shops != after.shops


def test_a_notice_is_taken_down_every_day_from_the_second_on():
    for day in DAYS[2:]:
        before, after = world(day - 1), world(day)

        assert {quest.slug for quest in before.quests} - {quest.slug for quest in after.quests}


def test_notices_have_slugs_of_their_own_for_years():
    slugs = [quest.slug for quest in world(700).quests]

    assert len(set(slugs)) == len(slugs) == 13


def test_a_quest_never_both_asks_for_and_gives_an_item():
    for day in DAYS:
        for quest in world(day).quests:
            asked = [item for item, _ in quest.requires]
            given = [item for item, _ in quest.rewards]

            assert len({*asked, *given}) == len(asked) + len(given)


def test_a_withdrawn_item_answers_404_and_returns_after_three_days():
    statuses = [answer("/items/thunder-cheese", day).status for day in range(6)]

    assert statuses == [200, 200, 404, 404, 404, 200]


def test_the_index_still_links_to_a_withdrawn_item():
    assert b"/items/thunder-cheese" in answer("/items", 4).body


def test_the_outage_day_breaks_some_addresses_and_spares_others():
    assert answer("/api/quests?page=1", 3).status == 200
    assert answer("/api/quests?page=2", 3).status == 500
    assert answer("/market/prices.xml", 3).status == 200
    assert answer("/items", 3).status == 500
    assert answer("/items", 4).status == 200
    assert answer("/api/quests?page=2", 4).status == 200


def test_one_page_is_smudged_once_a_week():
    assert [day for day in DAYS if smudged_item(day)] == [4, 11, 18]
    for day in (4, 11, 18):
        page = answer(f"/items/{smudged_item(day)}", day)
        assert page.status == 200
        assert not page.body.rstrip().endswith(b"</html>")


def test_the_listing_ends_with_no_next_page():
    pages, link = [], "/api/quests?page=1"
    while link:
        listed = json.loads(answer(link, 5).body)
        pages.append(listed["quests"])
        link = listed["next"]

    assert [len(page) for page in pages] == [5, 5, 3]


def test_an_unchanged_page_is_confirmed_by_its_etag_and_by_its_date():
    with Origin(day=0) as origin:
        _, headers, _ = get(origin, "/items/amber-mushroom")

        by_tag, _, body = get(origin, "/items/amber-mushroom", If_None_Match=headers["ETag"])
        by_date, _, _ = get(
            origin, "/items/amber-mushroom", If_Modified_Since=headers["Last-Modified"]
        )

    assert (by_tag, by_date, body) == (304, 304, b"")
    assert headers["Last-Modified"] == "Sat, 01 Mar 2025 00:00:00 GMT"


def test_a_changed_page_is_sent_whole():
    with Origin(day=0) as origin:
        _, headers, old = get(origin, "/market/prices.xml")
        origin.day = 1

        status, _, new = get(
            origin,
            "/market/prices.xml",
            If_None_Match=headers["ETag"],
            If_Modified_Since=headers["Last-Modified"],
        )

    assert status == 200
    assert new != old


def test_gzip_is_sent_to_those_who_accept_it():
    with Origin(day=0) as origin:
        _, plain_headers, plain = get(origin, "/market/prices.xml")
        _, headers, body = get(origin, "/market/prices.xml", Accept_Encoding="gzip, br")

    assert "Content-Encoding" not in plain_headers
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == plain


def test_the_clock_is_set_and_advanced_over_http():
    with Origin(day=0) as origin:
        get(origin, "/clock", "POST", b'{"day": 4}')
        _, _, body = get(origin, "/clock", "POST", b'{"advance": 1}')
        _, headers, _ = get(origin, "/items")

    assert json.loads(body) == {"day": 5, "date": date_of(5).isoformat()}
    assert headers["X-Dapplefen-Day"] == "5"


@pytest.mark.parametrize("order", [b"", b"[]", b'{"day": -1}', b'{"hour": 3}', b'{"day": "x"}'])
def test_a_clock_order_that_makes_no_sense_changes_nothing(order):
    with Origin(day=2) as origin:
        status, _, body = get(origin, "/clock", "POST", order)

        assert origin.day == 2

    assert status == 400
    assert body.startswith(b'Send {"day": 3}')


@pytest.mark.parametrize(
    "path", ["/nothing", "/items/no-such", "/api/quests?page=-1", "/images/x.svg"]
)
def test_an_unknown_address_answers_404(path):
    with Origin() as origin:
        status, _, _ = get(origin, path)

    assert status == 404


def test_an_items_picture_is_there():
    with Origin() as origin:
        status, headers, _ = get(origin, "/images/amber-mushroom.svg")

    assert (status, headers["Content-Type"]) == (200, "image/svg+xml")
