"""The transforms the sources declare."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from .fingerprint import code_digest

if TYPE_CHECKING:
    from raw_store.payload import Payload

    from .models import Row

BadRows = Literal["payload", "row"]
"""What an invalid row takes into quarantine: its whole payload, or itself alone."""

TransformFunction = Callable[["Payload"], "Iterable[Row]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """A pure function from one payload of a feed to rows."""

    name: str
    """`source.function`, unique."""
    feed: str
    function: TransformFunction
    code_digest: str
    """Of the code as it was imported."""
    bad_rows: BadRows = "payload"

    @property
    def source(self) -> str:
        return self.feed.partition(".")[0]


_transforms: dict[str, Transform] = {}


def transform(
    feed: str, *, bad_rows: BadRows = "payload"
) -> Callable[[TransformFunction], TransformFunction]:
    """Declare the function below as a transform of `feed`: it takes a payload and yields rows.

    A row that its model cannot hold takes its whole payload to quarantine, unless `bad_rows="row"`
    says that it goes alone; a payload without a valid row goes whole even then, and so does one
    at which the function raises.

    A transform is pure: no network, no database, no clock. Its "now" is
    `payload.fetched_at`, or a replay would give another answer tomorrow.
    """

    def register(function: TransformFunction) -> TransformFunction:
        name = f"{feed.partition('.')[0]}.{function.__name__}"
        if bad_rows not in get_args(BadRows):
            raise ValueError(
                f'Transform {name}: bad_rows must be "payload" or "row"; got {bad_rows!r}.'
            )
        known = _transforms.get(name)
        if known and _origin(known.function) != _origin(function):
            raise ValueError(
                f"Two transforms are called {name}: {_origin(known.function)} and "
                f"{_origin(function)}. Rename one of the functions."
            )
        _transforms[name] = Transform(
            name=name,
            feed=feed,
            function=function,
            code_digest=code_digest(function),
            bad_rows=bad_rows,
        )
        return function

    return register


def register(transform: Transform) -> None:
    """Add a transform that no decorator declares. Raises `ValueError` where its name is taken."""
    known = _transforms.get(transform.name)
    if known:
        raise ValueError(
            f"a transform is called {transform.name} already ({known.function!r}); give this one "
            f"another name"
        )
    _transforms[transform.name] = transform


def forget(name: str) -> None:
    """Take a transform out again."""
    _transforms.pop(name, None)


def all_transforms() -> list[Transform]:
    """Every declared transform, by name."""
    return [_transforms[name] for name in sorted(_transforms)]


def transforms_of(source: str) -> list[Transform]:
    """The transforms of one source, by name."""
    return [found for found in all_transforms() if found.source == source]


def _origin(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"
