"""A notice in a Slack channel: `slack:ops`, with a bot's token in `SLACK_BOT_TOKEN`."""

import os
from urllib.parse import SplitResult

from ..errors import NoticeFailed
from ..models import Notice
from .wording import text_of


def deliver(address: SplitResult, notice: Notice) -> None:
    """Raises `NoticeFailed`, also where `slack-sdk` is not installed."""
    try:
        from slack_sdk import WebClient
        from slack_sdk.errors import SlackApiError, SlackClientError
    except ImportError:
        raise NoticeFailed("slack-sdk is not installed: pip install slack-sdk") from None

    token = os.environ.get("SLACK_BOT_TOKEN")
    if not token:
        raise NoticeFailed("SLACK_BOT_TOKEN is not set")
    base_url = os.environ.get("SLACK_API_URL") or WebClient.BASE_URL
    client = WebClient(token=token, base_url=base_url, timeout=15)
    # Slack reads these three as markup ("Escaping text").
    text = text_of(notice)
    for given, meant in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(given, meant)
    try:
        client.chat_postMessage(channel=address.path, text=text, unfurl_links=False)
    except SlackApiError as error:
        raise NoticeFailed(f"Slack answered {error.response.get('error', 'an error')}") from None
    except (SlackClientError, OSError) as error:
        raise NoticeFailed(f"not sent: {type(error).__name__}") from None
