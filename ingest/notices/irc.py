"""A notice in an IRC channel: `irc://NICK@HOST:PORT/CHANNEL`, `ircs://` over TLS.

Joins, speaks, and quits. A password of the server's is in `IRC_PASSWORD`.
"""

import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult

from ..errors import NoticeFailed
from ..models import Notice
from .wording import text_of

NICK = "cellar"
"""A nick has nine characters at most on servers that keep to RFC 2812 (1.2.1)."""
SECONDS = 30.0
_LINE = 400
"""Characters: a line of 512 bytes holds the sender and the channel too (RFC 2812, 2.3)."""


def deliver(address: SplitResult, notice: Notice) -> None:
    """Raises `NoticeFailed`, also where `irc` is not installed."""
    try:
        from irc.client import IRCError, Reactor
    except ImportError:
        raise NoticeFailed("irc is not installed: pip install irc") from None

    is_tls = address.scheme == "ircs"
    visit = _Visit(f"#{address.path.strip('/').lstrip('#')}", text_of(notice))
    reactor = Reactor()
    opened: list[socket.socket] = []
    reactor.add_global_handler("all_events", visit.on_event)
    try:
        reactor.server().connect(
            address.hostname or "",
            address.port or (6697 if is_tls else 6667),
            address.username or NICK,
            password=os.environ.get("IRC_PASSWORD"),
            username=NICK,
            ircname="Rootcellar",
            connect_factory=_connecting(address.hostname if is_tls else None, opened),
        )
        ends_at = time.monotonic() + SECONDS
        while not visit.is_over and time.monotonic() < ends_at:
            reactor.process_once(timeout=0.2)
    except (IRCError, OSError) as error:
        raise NoticeFailed(f"not sent: {type(error).__name__}: {error}") from None
    finally:
        reactor.disconnect_all()
        # The library leaves one open that the server closed first.
        for each in opened:
            each.close()
    if not visit.was_heard:
        raise NoticeFailed(visit.problem or f"{address.hostname} did not answer in {SECONDS:g} s")


class _Visit:
    """One visit to a channel: welcome, join, speak, wait for the server's echo of a PING, quit."""

    def __init__(self, channel: str, text: str) -> None:
        self.is_over = False
        self.was_heard = False
        self.problem = ""
        self._channel = channel
        self._text = text
        self._tries = 0

    def on_event(self, connection: Any, event: Any) -> None:
        kind = event.type
        if kind == "welcome":
            connection.join(self._channel)
        elif kind == "nicknameinuse" and self._tries < 5:
            self._tries += 1
            connection.nick(f"{NICK}{os.urandom(2).hex()[:3]}")
        elif kind == "join" and event.source.nick == connection.get_nickname():
            for line in _lines(self._text):
                connection.privmsg(self._channel, line)
            # Whatever the server says to the message, it says before it answers this.
            connection.ping("heard")
        elif kind == "pong":
            self.was_heard = not self.problem
            self.is_over = True
            connection.quit("")
        elif kind in _REFUSALS:
            self.problem = f"refused: {kind}: {' '.join(event.arguments)}"
            self.is_over = kind != "cannotsendtochan"
        elif kind == "disconnect":
            self.is_over = True


_REFUSALS = frozenset(
    {
        "cannotsendtochan", "inviteonlychan", "bannedfromchan", "badchannelkey", "channelisfull",
        "nosuchchannel", "passwdmismatch", "erroneusnickname", "yourebannedcreep", "error",
        "toomanychannels", "badchanmask", "nickcollision",
    }
)  # fmt: skip


def _lines(text: str) -> list[str]:
    """The text in pieces that each fit a message, by bytes, no character torn."""
    lines, line = [], ""
    for each in text:
        if len((line + each).encode()) > _LINE:
            lines.append(line)
            line = ""
        line += each
    return [*lines, line]


def _connecting(
    tls_name: str | None, opened: list[socket.socket]
) -> Callable[[tuple[str, int]], socket.socket]:
    """What opens a connection, over TLS to `tls_name`, and adds its sockets to `opened`."""

    def connect(address: tuple[str, int]) -> socket.socket:
        opened.append(socket.create_connection(address, timeout=SECONDS))
        if tls_name is not None:
            context = ssl.create_default_context()
            opened.append(context.wrap_socket(opened[0], server_hostname=tls_name))
        return opened[-1]

    return connect
