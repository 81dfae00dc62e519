"""The receivers the sources declare: feeds whose payloads are sent to the program."""

from collections.abc import Iterable
from dataclasses import dataclass

from raw_store import feeds
from raw_store.errors import closest_first

from .. import registry
from ..errors import ReceiverInvalid, UnknownReceiver
from ..redaction.rules import NO_RULES, Secrets
from .signatures import Signature

DEFAULT_MAX_BODY = 5 * 1024 * 1024
LARGEST_MAX_BODY = 64 * 1024 * 1024
"""Bytes. What is pushed is in memory until it is archived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A feed that is pushed, and how a sender proves who they are."""

    feed: feeds.Feed
    signature: Signature
    max_body: int = DEFAULT_MAX_BODY
    """Bytes, as sent and after content decoding; more is refused with 413."""
    secrets: Secrets = NO_RULES

    @property
    def name(self) -> str:
        return self.feed.name


_receivers: dict[str, Receiver] = {}


def receiver(
    name: str,
    *,
    signature: Signature,
    current: feeds.Current = "all",
    key_headers: Iterable[str] = (),
    keep_bodies: str | None = None,
    quarantine_limit: str | int | None = None,
    max_body: int = DEFAULT_MAX_BODY,
    secrets: Secrets = NO_RULES,
) -> None:
    """Declare that the feed `name` (`source.feed`) is pushed to `/ingest/SOURCE/FEED`.

    `signature` is one of `ingest.signatures`; `signatures.unsigned()` takes whatever comes.
    With `current="all"` every delivery counts; with `"latest"` the newest of each address, where
    a sender adds to the path what it is about: `/ingest/shop/stock/item-17`. `key_headers` name
    headers that tell two deliveries of one address apart, beside those that the signature's scheme
    names. The other options are those of `@extractor`.
    Raises `ReceiverInvalid` for a declaration that cannot work.
    """
    if not isinstance(signature, Signature):
        raise ReceiverInvalid(
            f"Receiver {name}: signature= is one of ingest.signatures, for example "
            f'signatures.github("SHOP_WEBHOOK_SECRET"); got {signature!r}.'
        )
    if current == "run":
        raise ReceiverInvalid(
            f'Receiver {name}: current="run" needs runs that are complete, and nobody knows when '
            'a sender has sent all. Use "all" (every delivery) or "latest" (the newest of each '
            "address)."
        )
    if not 0 < max_body <= LARGEST_MAX_BODY:
        raise ReceiverInvalid(
            f"Receiver {name}: max_body= is a number of bytes up to {LARGEST_MAX_BODY:,}; "
            f"got {max_body}."
        )
    if any(each.name == name for each in registry.all_extractors()):
        raise ReceiverInvalid(
            f"Feed {name} has an extractor already. Give what is pushed a feed of its own; one "
            "transform may read both."
        )
    try:
        kept = None if keep_bodies is None else feeds.parse_retention(keep_bodies)
        limit = None if quarantine_limit is None else feeds.parse_quarantine_limit(quarantine_limit)
        # A delivery that is sent again is the same request; another delivery is another one.
        told_apart = (*key_headers, *(signature.delivery_headers if current == "all" else ()))
        feed = feeds.declare(
            feeds.Feed(
                name=name,
                current=current,
                key_headers=told_apart,
                keep_bodies=kept,
                quarantine_limit=limit,
            )
        )
    except ValueError as error:
        raise ReceiverInvalid(f"Receiver {name}: {error}") from None
    _receivers[name] = Receiver(feed=feed, signature=signature, max_body=max_body, secrets=secrets)


def get(name: str) -> Receiver:
    """The receiver of a feed, or raise `UnknownReceiver` listing the known ones, closest first."""
    try:
        return _receivers[name]
    except KeyError:
        listed = ", ".join(closest_first(name, _receivers)) or "none: no source declares a receiver"
        raise UnknownReceiver(
            f"Nothing receives {name!r}. Known receivers, closest first: {listed}."
        ) from None


def all_receivers() -> list[Receiver]:
    """Every declared receiver, by feed name."""
    return [_receivers[name] for name in sorted(_receivers)]
