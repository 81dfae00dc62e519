"""A notice in a Discord channel, through a webhook of it: `discord+https://discord.com/api/…`."""

import json
from urllib.parse import SplitResult

from ..models import Notice
from . import webhook
from .wording import text_of


def deliver(address: SplitResult, notice: Notice) -> None:
    """Raises `NoticeFailed`. Nobody is mentioned, whatever a text holds."""
    url = address._replace(scheme=address.scheme.removeprefix("discord+")).geturl()
    message = {"content": text_of(notice), "allowed_mentions": {"parse": []}}
    webhook.post(url, json.dumps(message).encode())
