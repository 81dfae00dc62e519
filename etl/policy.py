"""The policy for changed code: what `REPLAY_ON_CHANGE` says, and which code has changed.

auto     the rows are derived anew as soon as it is noticed
ask      the rows stay as they are until someone runs `replay`; the log asks for it
never    as `ask`, and the log is silent
"""

from typing import Literal, cast, get_args

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from reshape.fingerprint import fingerprint
from reshape.models import SourceState
from reshape.registry import transforms_of

Policy = Literal["auto", "ask", "never"]


def policy_of(source: str) -> Policy:
    """What `REPLAY_ON_CHANGE` says for a source. Raises `ImproperlyConfigured`."""
    every, own = "auto", None
    for part in settings.REPLAY_ON_CHANGE.split(","):
        name, _, said = part.strip().rpartition("=")
        if said not in get_args(Policy):
            raise ImproperlyConfigured(
                f"REPLAY_ON_CHANGE says {part.strip()!r}; write auto, ask or never, and after it "
                'what differs for single sources: "auto,quakes=ask".'
            )
        if not name:
            every = said
        elif name == source:
            own = said
    return cast(Policy, own or every)


def changed_transforms(source: str) -> list[str]:
    """The transforms that are new, changed or gone since the source's rows were last loaded.

    None where they never were.
    """
    state = SourceState.objects.filter(source=source).first()
    if state is None:
        return []
    present = {transform.name: fingerprint(transform) for transform in transforms_of(source)}
    names = present.keys() | state.fingerprints.keys()
    return sorted(n for n in names if present.get(n) != state.fingerprints.get(n))


def waits(source: str) -> bool:
    """Whether the source's rows stay as they are, by its policy, until someone replays it."""
    return policy_of(source) != "auto" and bool(changed_transforms(source))
