"""Four feeds of four hosts by name, which all ask the one address that the test says, and one that
every shard runs."""

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


@extractor("shelf.spread", every="0.3s", spread=True)
async def extract_spread(client: Client) -> None:
    for url in client.mine(f"{os.environ['SHELF_URL']}/spread/{book}" for book in range(12)):
        await client.get(url)
