"""Four feeds of four hosts by name, which all ask the one address that the test says."""

import os

from ingest import Client, extractor

RATE = 20


def declare(number: int) -> None:
    @extractor(
        f"shelf.board_{number}", every="0.3s", host=f"host-{number}.example", rate=f"{RATE}/s"
    )
    async def extract_board(client: Client) -> None:
        for book in range(3):
            await client.get(f"{os.environ['SHELF_URL']}/{number}/{book}")


for number in range(4):
    declare(number)
