"""What happened in Dapplefen overnight, in plain sentences: the demo tells it beside the counts."""

from .world import World, has_outage, smudged_item, world


def news(day: int) -> list[str]:
    """What is different on `day` from the day before; of day 0, what there is."""
    today = world(day)
    if day == 0:
        return [
            f"The farm opens: {len(today.items)} items in the almanac, {len(today.quests)} quests "
            f"on the notice board, {len(today.shops)} shops in the market."
        ]
    before = world(day - 1)
    told = [*_items(before, today), *_quests(before, today)]
    moved = len(_prices(today) - _prices(before))
    told.append(f"{moved} prices are new or have moved.")
    if has_outage(day):
        told.append("A storm: the almanac and the notice board answer 500.")
    if slug := smudged_item(day):
        told.append(f"The page of {_name(slug)} is printed wrong.")
    return told


def _items(before: World, today: World) -> list[str]:
    old, new = ({item.slug for item in each.items} for each in (before, today))
    arrived = set(today.known_items) - set(before.known_items)
    return [
        *(f"{_name(slug)} is new." for slug in sorted(new & arrived)),
        *(f"{_name(slug)} is back." for slug in sorted(new - old - arrived)),
        *(f"{_name(slug)} is withdrawn: its page answers 404." for slug in sorted(old - new)),
    ]


def _quests(before: World, today: World) -> list[str]:
    old, new = ({quest.slug: quest for quest in each.quests} for each in (before, today))
    told = [f"“{new[slug].title}” is pinned up." for slug in sorted(new.keys() - old.keys())]
    told += [f"“{old[slug].title}” is taken down." for slug in sorted(old.keys() - new.keys())]
    edited = sum(new[slug] != old[slug] for slug in new.keys() & old.keys())
    if edited:
        told.append(f"{edited} {'quest asks' if edited == 1 else 'quests ask'} for more.")
    return told


def _prices(today: World) -> set[tuple[str, str, int]]:
    return {(shop.slug, item, coins) for shop in today.shops for item, coins in shop.prices}


def _name(slug: str) -> str:
    return slug.replace("-", " ").title()
