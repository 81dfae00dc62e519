"""Every stage of the harness, by name; slow ones first."""

from .compact import Compact
from .erase import Erase
from .extract import Extract
from .harness import Stage
from .replay import Replay
from .seal import Seal

STAGES: dict[str, type[Stage]] = {
    stage.name: stage for stage in (Replay, Compact, Extract, Erase, Seal)
}
CI = {"replay": 20, "compact": 45, "extract": 45, "erase": 8, "seal": 85}
"""Kills per run of the tests."""
SHARES = {"replay": 2, "compact": 4, "extract": 4, "erase": 1, "seal": 9}
"""How often each is killed, compared with the others."""
