"""Channels: each is told in its own way, by the real protocol on the loopback."""

import json
import socket
from datetime import UTC, datetime

import pytest
from aiosmtpd.controller import Controller
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from ingest import signatures
from ingest.errors import NoticeFailed
from ingest.models import Notice
from ingest.notices.channels import all_channels
from ingest.notices.outbox import deliver_due
from ingest.receiving.signatures import Push


@pytest.fixture
def channel(settings):
    """The channel that a word of `NOTICES` means."""

    def of(word):
        settings.NOTICES = word
        [found] = all_channels()
        return found

    return of


def told(channel, end_run, error="a <b> & *c*\n@everyone \x02bold"):
    """Let a run fail and the channel be told of it."""
    end_run(error)
    [notice] = Notice.objects.all()
    channel.deliver(notice)
    return notice


def test_a_webhook_is_told_in_json_signed_as_a_receiver_of_ours_verifies_it(
    channel, end_run, inbox, monkeypatch
):
    monkeypatch.setenv("NOTICES_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    told(channel(f"{inbox.url}/hook?a=1#on=failed"), end_run, "broken")
    [(path, headers, body)] = inbox.got
    push = Push(headers=headers, body=body, received_at=datetime.now(UTC))
    signatures.standard_webhooks("NOTICES_WEBHOOK_SECRET").verify(push)
    said = json.loads(body)

    assert path == "/hook?a=1"
    assert (said["event"], said["feed"], said["source"]) == (
        "run.failed",
        "orchard.pages",
        "orchard",
    )
    assert said["run"]["payload_count"] == 31
    assert said["run"]["error"] == "The extractor raised ValueError: broken"


def test_discord_is_told_and_nobody_is_mentioned(channel, end_run, inbox):
    address = inbox.url.replace("http", "discord+http")

    told(channel(f"{address}/api/webhooks/1/token"), end_run)
    [(path, _, body)] = inbox.got

    assert path == "/api/webhooks/1/token"
    assert json.loads(body)["allowed_mentions"] == {"parse": []}
    assert "\n" not in json.loads(body)["content"]


def test_slack_is_told_through_its_own_library_with_its_markup_escaped(
    channel, end_run, inbox, monkeypatch
):
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1-test")
    monkeypatch.setenv("SLACK_API_URL", f"{inbox.url}/api/")

    told(channel("slack:ops"), end_run)
    [(path, headers, body)] = inbox.got

    assert path == "/api/chat.postMessage"
    assert headers["authorization"] == "Bearer xoxb-1-test"
    assert b"a &lt;b&gt; &amp; *c*" in body or b"%26lt%3Bb%26gt%3B" in body


def test_what_slack_refuses_is_said(channel, end_run, inbox, monkeypatch):
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1-test")
    monkeypatch.setenv("SLACK_API_URL", f"{inbox.url}/api/")
    inbox.answer = b'{"ok": false, "error": "channel_not_found"}'

    with pytest.raises(NoticeFailed, match="Slack answered channel_not_found"):
        told(channel("slack:ops"), end_run)


def test_without_a_token_slack_is_not_asked(channel, end_run, monkeypatch):
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)

    with pytest.raises(NoticeFailed, match="SLACK_BOT_TOKEN is not set"):
        told(channel("slack:ops"), end_run)


@pytest.fixture
def letters(settings):
    """A real SMTP server; the letters it was handed."""
    got = []

    class Keep:
        async def handle_DATA(self, server, session, envelope):
            got.append((envelope.rcpt_tos, envelope.content.decode()))
            return "250 kept"

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    controller = Controller(Keep(), hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    yield got
    controller.stop()


def test_a_letter_is_handed_in(channel, end_run, letters):
    told(channel("mailto:ops@example.org"), end_run, "broken")
    [(recipients, letter)] = letters

    assert recipients == ["ops@example.org"]
    assert "Subject: orchard.pages failed: The extractor raised ValueError: broken" in letter


def test_where_no_mail_server_is_the_notice_waits(end_run, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    settings.NOTICES = "mailto:ops@example.org"
    end_run("broken")

    delivered = deliver_due()

    assert delivered == 0
    assert "ConnectionRefusedError" in Notice.objects.get().error


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pigeon:ops", "no channel"),
        ("ops@example.org", "no channel"),
        ("mailto:", "no channel"),
        ("slack:ops#on=sometimes", "on=sometimes"),
        ("slack:ops#events=failed", "'events'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(settings, word, said):
    settings.NOTICES = word

    with pytest.raises(ImproperlyConfigured, match=said):
        all_channels()
    with pytest.raises(SystemCheckError, match=r"ingest\.E001"):
        call_command("check")
