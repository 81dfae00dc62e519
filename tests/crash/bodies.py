"""What every address answers: a body that follows from the address and the round.

So whoever reads the archive can say what should be in it, byte for byte, without having been told.
"""

import hashlib
import json
import random
import re

ORIGIN = "http://library.example"
_AUTHORS = 4


def body_of(path: str, round_: int) -> bytes:
    """The body of `/KIND/NUMBER` in a round.

    `/page/N` and `/large/N` are the same in every round, `/tree/N` is not, and `/desk/N` is what
    the sample source's transform reads.
    """
    match = re.fullmatch(r"/(page|large|tree|desk)/(\d+)", path)
    assert match, path
    kind, number = match[1], int(match[2])
    if kind == "desk":
        return desk(number, round_)
    seed = f"{path} {round_}" if kind == "tree" else path
    noise = random.Random(seed).randbytes({"large": 300_000}.get(kind, number * 37 % 1_500))
    head = f"{seed}\n{hashlib.sha256(noise).hexdigest()}\n".encode()
    return head + noise + b"rings " * (number * 13 % 400)


def desk(number: int, round_: int) -> bytes:
    """Four authors and a book of each, named for the round."""
    codes = [f"{number}-{author}" for author in range(_AUTHORS)]
    return json.dumps(
        {
            "authors": [{"code": code, "name": f"name {round_}"} for code in codes],
            "books": [
                {"code": code, "title": f"title {round_}", "author_id": code, "price": str(round_)}
                for code in codes
            ],
        }
    ).encode()


def rows_of(desks: dict[int, int]) -> dict[str, list[tuple[str, str]]]:
    """The rows that the sample source has when the newest version of each desk is of its round."""
    codes = sorted(
        (f"{number}-{author}", round_)
        for number, round_ in desks.items()
        for author in range(_AUTHORS)
    )
    return {
        "sample_author": [(code, f"name {round_}") for code, round_ in codes],
        "sample_book": [(code, f"title {round_}") for code, round_ in codes],
    }
