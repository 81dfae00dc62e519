"""What goes over the wire: HTTP/1.1 of our own over asyncio, and httpx for what needs it.

`client.py` is where to begin: a `Wire` makes exchanges, keeps connections, and asks the guard
before it connects. The bytes of a response are handed on as they came, framing undone and nothing
else. `choosing.py` says which wire a feed gets.
"""
