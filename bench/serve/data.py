"""The market's rows, the same in every run: 1,000 items, 500 quests, 4,000 requirements."""

import random
import uuid

ITEMS, QUESTS, REQUIREMENTS = 1_000, 500, 4_000
_WORDS = "iron gold herb dragon rune quest relic ember frost oak silver storm".split()  # noqa: SIM905


def main() -> None:
    """Make the tables of the database that the settings name, and fill them."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0, run_syncdb=True)
    _fill()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _fill() -> None:
    from bench.serve.market.models import Item, Quest, Requirement

    pick = random.Random(7)
    fetch = uuid.UUID(int=1)
    Item._base_manager.bulk_create(
        Item(
            id=number,
            name=_words(pick, 3),
            image=f"/static/items/{number:05d}.png",
            value=pick.randint(1, 9_999),
            fetch_id=fetch,
        )
        for number in range(1, ITEMS + 1)
    )
    Quest._base_manager.bulk_create(
        Quest(
            id=number,
            title=_words(pick, 4),
            image=f"/static/quests/{number:05d}.png",
            text=_words(pick, 25),
            fetch_id=fetch,
        )
        for number in range(1, QUESTS + 1)
    )
    Requirement._base_manager.bulk_create(
        Requirement(
            id=number,
            item_id=pick.randint(1, ITEMS),
            quest_id=pick.randint(1, QUESTS),
            quantity=pick.randint(1, 50),
            fetch_id=fetch,
        )
        for number in range(1, REQUIREMENTS + 1)
    )


def _words(pick: random.Random, count: int) -> str:
    return " ".join(pick.choices(_WORDS, k=count))


if __name__ == "__main__":
    main()
