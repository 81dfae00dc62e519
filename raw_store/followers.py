"""Who follows when the archive changes: whatever is derived from it.

The archive knows nothing of what is derived from it. A stage that does registers here, in its
app's `ready()`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa


class Follower(Protocol):
    """Keeps something per segment, under the segment's name."""

    def regroup(self, replaced: Sequence[str], by: Mapping[str, pa.Array]) -> None:
        """Make what it keeps of the `replaced` segments for those that hold their rows now.

        `by` maps each new segment's name to the fetch ids in it (strings). Called before the new
        segments are acknowledged, hence perhaps in vain.
        """

    def forget(self, names: Sequence[str]) -> None:
        """Remove what it keeps of these segments: their files are gone."""

    def drop(self, fetch_ids: Collection[str]) -> None:
        """Remove what it keeps of these fetches, in whatever file: they have no body any more."""

    def needed(self, feed: str) -> Collection[str]:
        """The fetches of a feed whose bodies the rows of today are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was erased."""

    feeds: Sequence[str]
    fetch_ids: Collection[str]
    urls: Collection[str]
    """Addresses that no fetch is left of."""


class Renewer(Protocol):
    """Makes anew what is derived from several segments at once."""

    def ensure_quiet(self, feeds: Collection[str]) -> None:
        """Raise `ArchiveError` while something is being fetched for one of these feeds."""

    def renew(self, removed: Removed) -> None:
        """Derive anew whatever held something of what was erased, and delete older states of it.

        Done again, it changes nothing.
        """


_followers: list[Follower] = []
_renewers: list[Renewer] = []


def register(follower: Follower) -> None:
    """Tell `follower` of every replacement from now on; registering it again changes nothing."""
    if follower not in _followers:
        _followers.append(follower)


def regroup(replaced: Sequence[str], by: Mapping[str, pa.Array]) -> None:
    """Tell every follower; see `Follower.regroup`."""
    for follower in _followers:
        follower.regroup(replaced, by)


def forget(names: Sequence[str]) -> None:
    """Tell every follower; see `Follower.forget`."""
    for follower in _followers:
        follower.forget(names)


def drop(fetch_ids: Collection[str]) -> None:
    """Tell every follower; see `Follower.drop`."""
    for follower in _followers:
        follower.drop(fetch_ids)


def needed(feed: str) -> set[str]:
    """What any follower needs; see `Follower.needed`."""
    return {fetch_id for follower in _followers for fetch_id in follower.needed(feed)}


def register_renewer(renewer: Renewer) -> None:
    """Ask `renewer` at every erasure from now on."""
    if renewer not in _renewers:
        _renewers.append(renewer)


def ensure_quiet(feeds: Collection[str]) -> None:
    """Ask every renewer; see `Renewer.ensure_quiet`."""
    for renewer in _renewers:
        renewer.ensure_quiet(feeds)


def renew(removed: Removed) -> None:
    """Tell every renewer; see `Renewer.renew`."""
    for renewer in _renewers:
        renewer.renew(removed)
