"""The feed of the made-up payloads; nothing asks for it."""

from raw_store import feeds

feeds.declare(feeds.Feed(name="fires.pages"))
