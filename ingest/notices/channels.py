"""Channels: who is told, read from `NOTICES`.

    NOTICES="mailto:ops@example.org https://hooks.example.org/x#on=finished,failed&source=farm"

One word each. What comes after `#` says of which events (`failed`, `recovered`, `finished`;
without it the first two) and of which sources.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ..models import Event, Notice
from . import discord, irc, mail, slack, webhook

Deliver = Callable[[SplitResult, Notice], None]
"""Tells one channel; raises `NoticeFailed` where that did not work."""

_KINDS: dict[str, Deliver] = {
    "mailto": mail.deliver,
    "slack": slack.deliver,
    "discord+https": discord.deliver,
    "discord+http": discord.deliver,
    "irc": irc.deliver,
    "ircs": irc.deliver,
    "https": webhook.deliver,
    "http": webhook.deliver,
}
_BY_DEFAULT = frozenset({Event.FAILED, Event.RECOVERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One place to tell."""

    name: str
    """What it is called in the database and in messages: no secret is in it."""
    address: SplitResult
    events: frozenset[str]
    sources: frozenset[str]
    """Empty for all."""

    def wants(self, event: str, source: str) -> bool:
        return event in self.events and (not self.sources or source in self.sources)

    def deliver(self, notice: Notice) -> None:
        """Tell it. Raises `NoticeFailed`."""
        _KINDS[self.address.scheme](self.address, notice)


def all_channels() -> list[Channel]:
    """The channels that `NOTICES` names. Raises `ImproperlyConfigured` for what it cannot mean."""
    return [_channel(word) for word in settings.NOTICES.split()]


def _channel(word: str) -> Channel:
    address = urlsplit(word)
    if address.scheme not in _KINDS or not (address.netloc or address.path):
        raise ImproperlyConfigured(
            f"NOTICES holds {_shown(address)!r}, which is no channel. Write slack:CHANNEL, "
            "discord+https://…, irc://NICK@HOST/CHANNEL, mailto:NAME@HOST or https://…"
        )
    options = parse_qs(address.fragment, keep_blank_values=True)
    if unknown := options.keys() - {"on", "source"}:
        raise ImproperlyConfigured(
            f"NOTICES says {min(unknown)!r} of {_shown(address)}; after # it takes "
            "on=failed,recovered,finished and source=NAME."
        )
    events = frozenset(_listed(options.get("on"))) or _BY_DEFAULT
    if unknown_events := events - set(Event.values):
        raise ImproperlyConfigured(
            f"NOTICES says on={min(unknown_events)} of {_shown(address)}; there are "
            f"{', '.join(Event.values)}."
        )
    return Channel(
        name=_shown(address),
        address=address._replace(fragment=""),
        events=events,
        sources=frozenset(_listed(options.get("source"))),
    )


def _listed(values: list[str] | None) -> list[str]:
    return [part for value in values or () for part in value.split(",") if part]


def _shown(address: SplitResult) -> str:
    """A channel's address without what may be a secret, yet unlike any other's."""
    if address.scheme in ("mailto", "slack"):
        return f"{address.scheme}:{address.path}"
    host = f"{address.hostname or ''}{f':{address.port}' if address.port else ''}"
    if address.scheme in ("irc", "ircs"):
        return f"{address.scheme}://{host}{address.path}"
    known = hashlib.sha256(address._replace(fragment="").geturl().encode()).hexdigest()[:8]
    return f"{address.scheme}://{host}/…{known}"
