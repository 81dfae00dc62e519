"""A notice as JSON to an address, signed as Standard Webhooks where there is a secret."""

import base64
import hashlib
import hmac
import json
import os
import time
from urllib.parse import SplitResult

import httpx

from ..errors import NoticeFailed
from ..models import Notice
from .wording import json_of


def deliver(address: SplitResult, notice: Notice) -> None:
    """POST the notice; any 2xx is taken as received. Raises `NoticeFailed`."""
    body = json.dumps(json_of(notice)).encode()
    post(address.geturl(), body, _signed(notice, body))


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    """POST JSON, following no redirect. Raises `NoticeFailed`, naming no part of the address."""
    try:
        answer = httpx.post(
            url,
            content=body,
            headers={"Content-Type": "application/json", **(headers or {})},
            timeout=15,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoticeFailed(f"not sent: {type(error).__name__}") from None
    if not answer.is_success:
        raise NoticeFailed(
            f"answered {answer.status_code}",
            retry_after=_seconds(answer.headers.get("retry-after")),
        )
    return answer


def _signed(notice: Notice, body: bytes) -> dict[str, str]:
    secret = os.environ.get("NOTICES_WEBHOOK_SECRET", "")
    headers = {"webhook-id": str(notice.id), "webhook-timestamp": str(int(time.time()))}
    if not secret:
        return headers
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise NoticeFailed(
            "NOTICES_WEBHOOK_SECRET is not base64, as Standard Webhooks has it"
        ) from None
    signed = f"{notice.id}.{headers['webhook-timestamp']}.".encode() + body
    given = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {**headers, "webhook-signature": f"v1,{given}"}


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None
