"""The corpus: what servers send, rightly and wrongly, and what the archive holds of it."""

from . import bodies, codings, connections, framing, headers, redirects, statuses

CASES = [
    *framing.CASES,
    *codings.CASES,
    *headers.CASES,
    *statuses.CASES,
    *redirects.CASES,
    *bodies.CASES,
    *connections.CASES,
]
