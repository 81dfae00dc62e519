"""The world of Dapplefen on one simulated day: a pure function of the day's number.

Day 0 is the first. Nothing is random and nothing is remembered: asked twice,
on any machine, a day is the same, so what the demo and the tests see is known.
Every day something happens:

- an item arrives (until the catalogue is out), an item's entry is rewritten, prices move;
- a quest is pinned up, from day 2 an old one is taken down, some ask for more than before;
- on days 2, 5, 8 … an item is withdrawn for three days: its page answers 404;
- on days 3, 10, 17 … a storm takes part of the site down: see `has_outage`;
- on days 4, 11, 18 … one item's page is printed wrong: see `smudged_item`.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

FIRST_DATE = date(2025, 3, 1)
FIRST_ITEMS = 24
FIRST_QUESTS = 12
DAYS_WITHDRAWN = 3
WEEK = 7
OUTAGE_WEEKDAY = 3
SMUDGE_WEEKDAY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry of the almanac."""

    slug: str
    name: str
    kind: str
    description: str
    worth: int
    toll: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quest:
    """One notice on the board."""

    slug: str
    title: str
    text: str
    giver: str
    coins: int
    requires: tuple[tuple[str, int], ...]
    rewards: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A shop and what it asks for each item it sells that day."""

    slug: str
    name: str
    keeper: str
    prices: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything there is to see on one day."""

    day: int
    items: tuple[Item, ...]
    """Those on offer; a withdrawn one is missing here."""
    known_items: tuple[str, ...]
    """Slugs of all items ever listed; the almanac's index keeps dead links."""
    quests: tuple[Quest, ...]
    shops: tuple[Shop, ...]

    def item(self, slug: str) -> Item | None:
        return next((item for item in self.items if item.slug == slug), None)


@lru_cache(maxsize=64)
def world(day: int) -> World:
    """Return the world on `day`; the same day always gives the same world."""
    if day < 0:
        raise ValueError(f"Dapplefen's first day is 0; got day {day}.")
    known = [number for number in range(len(_CATALOGUE)) if _arrives_on(number) <= day]
    offered = tuple(_item(number, day) for number in known if not is_withdrawn(number, day))
    return World(
        day=day,
        items=tuple(sorted(offered, key=lambda item: item.slug)),
        known_items=tuple(sorted(_slug(_name(number)) for number in known)),
        quests=tuple(sorted(_quests(day), key=lambda quest: quest.slug)),
        shops=tuple(_shop(slug, offered, day) for slug in sorted(_SHOPS)),
    )


def date_of(day: int) -> date:
    """The calendar date of a simulated day."""
    return FIRST_DATE + timedelta(days=day)


def has_outage(day: int) -> bool:
    """Whether a storm takes down the almanac's index and the notice board's later pages."""
    return day % WEEK == OUTAGE_WEEKDAY


def smudged_item(day: int) -> str | None:
    """The item whose page is printed wrong that day, if it is such a day."""
    if day % WEEK != SMUDGE_WEEKDAY:
        return None
    offered = world(day).items
    return offered[_roll("smudge", day) % len(offered)].slug


def is_withdrawn(number: int, day: int) -> bool:
    """Whether the item is off the almanac that day."""
    return any(
        start % 3 == 2 and start * 5 % FIRST_ITEMS == number
        for start in range(max(0, day - DAYS_WITHDRAWN + 1), day + 1)
    )


def _roll(*parts: object) -> int:
    """A number that depends on `parts` alone, evenly spread: the world's dice."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big")


def _slug(name: str) -> str:
    return "-".join("".join(c for c in name.lower() if c.isalnum() or c == " ").split())


def _arrives_on(number: int) -> int:
    return max(0, number - FIRST_ITEMS + 1)


def _name(number: int) -> str:
    quality, good = _CATALOGUE[number]
    return f"{quality} {good}"


def _item(number: int, day: int) -> Item:
    quality, good = _CATALOGUE[number]
    kind, worth, description = _GOODS[good]
    rewritten = [x for x in range(1, day + 1) if x * 7 % FIRST_ITEMS == number]
    worth += _roll(quality) % 9 + len(rewritten)
    if rewritten:
        description += f" Entry revised on {date_of(rewritten[-1]):%d %B %Y}."
    return Item(
        slug=_slug(_name(number)),
        name=_name(number),
        kind=kind,
        description=f"{_QUALITIES[quality]} {description}",
        worth=worth,
        toll=max(1, worth // 10),
    )


def _quests(day: int) -> list[Quest]:
    # Quest k is pinned up on day k-11 (the first twelve on day 0) and taken down on day k+2.
    return [_quest(k, day) for k in range(max(0, day - 1), FIRST_QUESTS + day)]


def _quest(k: int, day: int) -> Quest:
    title = _QUESTS[k % len(_QUESTS)]
    if edition := k // len(_QUESTS):
        title += f" {edition + 1}"
    pinned_on = max(0, k - FIRST_QUESTS + 1)
    numbers = [number for number in range(len(_CATALOGUE)) if _arrives_on(number) <= pinned_on]
    numbers.sort(key=lambda number: _roll("quest", k, number))
    asked, given = numbers[: 1 + k % 3], numbers[3 : 4 + k % 2]
    more = sum((k + x) % 5 == 0 for x in range(pinned_on + 1, day + 1))
    requires = tuple((_slug(_name(n)), 1 + _roll("ask", k, n) % 6 + more) for n in asked)
    wishes = " and ".join(
        f"{count} {_name(n)}" for n, (_, count) in zip(asked, requires, strict=True)
    )
    giver = _GIVERS[_roll("giver", k) % len(_GIVERS)]
    return Quest(
        slug=_slug(title),
        title=title,
        text=f"{giver} is looking for {wishes}. {_REASONS[k % len(_REASONS)]}",
        giver=giver,
        coins=5 * (1 + _roll("coins", k) % 12),
        requires=requires,
        rewards=tuple((_slug(_name(n)), 1 + _roll("give", k, n) % 3) for n in given),
    )


def _shop(slug: str, items: tuple[Item, ...], day: int) -> Shop:
    name, keeper = _SHOPS[slug]
    sold = sorted(
        (item for item in items if _roll("sells", slug, item.slug, day // 5) % 10 < 5),
        key=lambda item: item.slug,
    )
    prices = tuple((item.slug, _price(slug, item, day)) for item in sold)
    return Shop(slug=slug, name=name, keeper=keeper, prices=prices)


def _price(shop: str, item: Item, day: int) -> int:
    # A price stands until the next day on which the dice say that it moves.
    moved_on = day
    while moved_on > 0 and _roll("moves", shop, item.slug, moved_on) % 4:
        moved_on -= 1
    return max(1, item.worth * (95 + _roll("price", shop, item.slug, moved_on) % 50) // 100)


_QUALITIES = {
    "Amber": "Golden all the way through.",
    "Brackish": "Raised where the river meets the tide.",
    "Copper": "It rings faintly when tapped.",
    "Frosted": "Best before the thaw.",
    "Glimmer": "Easy to find at night, hard to hide.",
    "Lantern": "Warm to the touch until supper.",
    "Mossy": "The green does not wash off, nor should it.",
    "Sleepy": "Do not carry it while driving a cart.",
    "Thunder": "Picked only after storms.",
    "Whistling": "Hums a different tune each morning.",
}
_GOODS = {
    "Barley": ("crop", 5, "The fen's bread and most of its quarrels."),
    "Basket": ("craft", 18, "Woven from whatever the ditch offered."),
    "Broth": ("larder", 16, "A ladle of it has ended feuds."),
    "Cheese": ("larder", 30, "Pressed under a paving stone for a season."),
    "Kettle": ("tool", 55, "Never boils while the miller looks."),
    "Leek": ("crop", 8, "Taller than the children who pull it."),
    "Mushroom": ("forage", 13, "Grows in rings; step around them."),
    "Rope": ("craft", 12, "Forty ells, most of them straight."),
    "Samphire": ("forage", 10, "Tastes of low tide."),
    "Turnip": ("crop", 6, "Plain, honest and everywhere."),
}
_CATALOGUE = sorted(
    ((quality, good) for quality in _QUALITIES for good in _GOODS),
    key=lambda entry: _roll("catalogue", *entry),
)
_SHOPS = {
    "crooked-stall": ("The Crooked Stall", "Mab Otterly"),
    "lantern-barge": ("The Lantern Barge", "Ferrin Dusk"),
    "peat-counter": ("The Peat Counter", "Uncle Pilk"),
    "reedmouth-hall": ("Reedmouth Hall", "Tansy Brole"),
}
_GIVERS = ["Ferrin Dusk", "Mab Otterly", "Old Wennick", "Sister Quill", "Tansy Brole", "Uncle Pilk"]
_QUESTS = [
    "Supper for the Ferry",
    "A Kettle Gone Cold",
    "The Long Larder",
    "Lights before Dusk",
    "Mending the Weir",
    "The Heron's Toll",
    "Feast at Reedmouth",
    "Cold Feet, Warm Broth",
    "Whatever the Fen Wants",
    "The Quiet Auction",
    "Gifts for the New Miller",
    "The Otter Wager",
    "Three Bells at Noon",
    "The Drowned Orchard",
    "A Coat for Uncle Pilk",
    "The Lopsided Cart",
    "Fog on Market Day",
    "Nine Geese and No Gate",
]
_REASONS = [
    "Bring it before the tide turns.",
    "Leave it by the blue door and say nothing.",
    "There was a promise, and there was a witness.",
    "The last helper is not to be asked about it.",
    "Ask at the weir if nobody answers.",
]
