"""What tests of a source may use."""

from collections.abc import Iterable

from raw_store.payload import Payload

from .purity_check import check_purity, first_of_each
from .registry import TransformFunction


def assert_pure(transform: TransformFunction, payloads: Iterable[Payload]) -> None:
    """Fail unless a transform says the same of each payload in two unlike processes.

    They differ in the clock, the time zone, the locale and the seed of hashes. Each starts the
    program anew, which takes a second or two: give it several payloads at once.
    """
    found = check_purity(transform, payloads)
    if found:
        raise AssertionError("\n".join(map(str, first_of_each(found))))
