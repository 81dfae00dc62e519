"""The feeds of the histories; nothing asks for them."""

from raw_store import feeds

feeds.declare(feeds.Feed(name="histories.calfire", current="all"))
feeds.declare(feeds.Feed(name="histories.pge", current="all"))
