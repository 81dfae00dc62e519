"""What the site answers: HTML for the almanac, JSON for the notice board, XML for the market.

An answer is a pure function of the path and the day. The three forms differ on
purpose, as those of real sites do.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from urllib.parse import parse_qs, urlsplit

from .world import Item, World, date_of, has_outage, smudged_item, world

QUESTS_PER_PAGE = 5
HTML = "text/html; charset=utf-8"
JSON = "application/json"
XML = "application/xml; charset=utf-8"
SVG = "image/svg+xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response before it meets HTTP: a status, a form and a body."""

    status: int
    content_type: str
    body: bytes


def answer(target: str, day: int) -> Answer:
    """What the site answers to a GET of `target` (path and query) on `day`."""
    parts = urlsplit(target)
    return _answer(parts.path, parse_qs(parts.query).get("page", ["1"])[0], day)


@lru_cache(maxsize=4096)
def _answer(path: str, page: str, day: int) -> Answer:
    today = world(day)
    match path.strip("/").split("/"):
        case [""]:
            return _html("Dapplefen", _HOME)
        case ["items"] if has_outage(day):
            return _STORM
        case ["items"]:
            return _html("The Dapplefen Almanac", _index(today))
        case ["items", slug] if item := today.item(slug):
            return _item_page(item, today)
        case ["images", image] if item := today.item(image.removesuffix(".svg")):
            return Answer(status=200, content_type=SVG, body=_image(item).encode())
        case ["api", "quests"] if page.isascii() and page.isdigit() and int(page) > 0:
            return _quests_page(int(page), today)
        case ["market", "prices.xml"]:
            return Answer(status=200, content_type=XML, body=_market(today).encode())
    return _html("Nothing here", "<p>The fen has taken this page back.</p>", status=404)


def _html(title: str, body: str, status: int = 200) -> Answer:
    page = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}'
        f"</title></head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
    return Answer(status=status, content_type=HTML, body=page.encode())


_HOME = (
    '<ul><li><a href="/items">The almanac</a></li><li><a href="/api/quests">The notice board</a>'
    '</li><li><a href="/market/prices.xml">The market sheet</a></li></ul>'
)
_STORM = Answer(
    status=500, content_type="text/plain; charset=utf-8", body=b"The storm has the wires down.\n"
)


def _index(today: World) -> str:
    links = "\n".join(
        f'<li><a href="/items/{slug}">{slug.replace("-", " ").title()}</a></li>'
        for slug in today.known_items
    )
    return f'<ul class="items">\n{links}\n</ul>'


def _item_page(item: Item, today: World) -> Answer:
    offers = "\n".join(
        f'<tr data-shop="{shop.slug}"><td>{escape(shop.name)}</td>'
        f'<td class="coins">{coins}</td></tr>'
        for shop in today.shops
        for slug, coins in shop.prices
        if slug == item.slug
    )
    page = _html(
        item.name,
        f'<article class="item" data-slug="{item.slug}">\n'
        f'<p class="kind">{item.kind}</p>\n'
        f'<img src="/images/{item.slug}.svg" alt="">\n'
        f'<p class="description">{escape(item.description)}</p>\n'
        f'<p>Worth <span class="worth">{_coins(item.worth)}</span>,'
        f' market toll <span class="toll">{_coins(item.toll)}</span></p>\n'
        f'<table class="offers">\n{offers}\n</table>\n</article>',
    )
    if item.slug != smudged_item(today.day):
        return page
    # The worth is gone and the page breaks off in the middle of the offers.
    broken = re.sub(rb'<span class="worth">[^<]*</span>', b'<span class="worth">', page.body)
    return Answer(status=200, content_type=HTML, body=broken[: broken.rindex(b"</table>")])


def _coins(amount: int) -> str:
    return f"{amount} coin{'' if amount == 1 else 's'}"


def _image(item: Item) -> str:
    hue = sum(item.slug.encode()) * 7 % 360
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        f'<circle cx="32" cy="32" r="30" fill="hsl({hue} 45% 60%)"/>'
        f'<text x="32" y="42" font-size="28" text-anchor="middle">{item.name[0]}</text></svg>\n'
    )


def _quests_page(page: int, today: World) -> Answer:
    if has_outage(today.day) and page > 1:
        return _STORM
    start = (page - 1) * QUESTS_PER_PAGE
    end = start + QUESTS_PER_PAGE
    listed = {
        "next": f"/api/quests?page={page + 1}" if end < len(today.quests) else None,
        "quests": [
            {
                "slug": quest.slug,
                "title": quest.title,
                "text": quest.text,
                "giver": {"name": quest.giver},
                "requires": [{"item": item, "quantity": count} for item, count in quest.requires],
                "rewards": {
                    "coins": quest.coins,
                    "items": [{"item": item, "quantity": count} for item, count in quest.rewards],
                },
            }
            for quest in today.quests[start:end]
        ],
    }
    return Answer(status=200, content_type=JSON, body=json.dumps(listed, indent=1).encode())


def _market(today: World) -> str:
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f'<market date="{date_of(today.day)}">']
    for shop in today.shops:
        lines.append(
            f'  <shop id="{shop.slug}" name="{escape(shop.name)}" keeper="{escape(shop.keeper)}">'
        )
        lines += [f'    <price item="{item}" coins="{coins}"/>' for item, coins in shop.prices]
        lines.append("  </shop>")
    return "\n".join([*lines, "</market>", ""])
