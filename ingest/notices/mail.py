"""A notice by e-mail: `mailto:ops@example.org`, through Django's e-mail settings."""

import smtplib
from urllib.parse import SplitResult, unquote

from django.core.mail import EmailMessage

from ..errors import NoticeFailed
from ..models import Notice
from .wording import text_of


def deliver(address: SplitResult, notice: Notice) -> None:
    """Raises `NoticeFailed`."""
    text = text_of(notice)
    subject = text if len(text) <= 120 else f"{text[:119]}…"
    message = EmailMessage(subject=subject, body=f"{text}\n", to=[unquote(address.path)])
    try:
        message.send()
    except (smtplib.SMTPException, OSError) as error:
        raise NoticeFailed(f"not sent: {type(error).__name__}: {error}") from None
