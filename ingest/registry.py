"""The extractors the sources declare."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from raw_store import feeds
from raw_store.errors import UnknownFeed, closest_first

from . import auth as auth_module
from .auth import Auth
from .errors import ExtractorInvalid
from .politeness.limits import NOTHING_DECLARED, Declared
from .redaction.rules import NO_RULES, Secrets
from .shards import Shard
from .wire.network import ORDINARY, Certificate, Network

# The argument is an `ingest.client.Client`; a source need not say so.
ExtractorFunction = Callable[[Any], Awaitable[None]]

CatchUp = Literal["skip", "once", "all"]

DEFAULT_TIMEOUT = 30.0
DEFAULT_MAX_BODY = 256 * 1024 * 1024

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    """The async function that requests a feed's pages, and when it runs."""

    feed: feeds.Feed
    function: ExtractorFunction
    every: str | None = None
    """An interval such as `30s`, `5m`, `2h`, `1d`."""
    cron: str | None = None
    """A cron expression, in `timezone`."""
    timezone: str = "UTC"
    catch_up: CatchUp = "once"
    """What becomes of runs that were missed: none of them, one, or each is made up for."""
    robots: feeds.Feed | None = None
    """Where robots.txt is archived, for a feed that follows it."""
    host: str | None = None
    """The host it asks, by which it belongs to a shard; without it, its source's name."""
    is_spread: bool = False
    """Whether every shard runs it, each for the requests whose keys it owns."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds a fetch may go without a byte arriving."""
    max_body: int = DEFAULT_MAX_BODY
    """Bytes; what a body holds beyond them is not kept, and the payload is marked truncated."""
    secrets: Secrets = NO_RULES
    """What is a secret here, beside what is one everywhere."""
    network: Network = ORDINARY
    """How its requests reach the network."""
    declared: Declared = NOTHING_DECLARED
    """How each host it asks is to be asked."""
    auth: tuple[Auth, ...] = ()
    """What its requests show, each to the addresses it is for."""

    @property
    def name(self) -> str:
        return self.feed.name

    @property
    def source(self) -> str:
        return self.feed.source

    @property
    def interval(self) -> timedelta | None:
        """`every` as a duration."""
        return None if self.every is None else parse_interval(self.every)

    @property
    def schedule(self) -> str:
        """When it runs, in words."""
        if self.every:
            return f"every {self.every}"
        where = "" if self.timezone == "UTC" else f" {self.timezone}"
        return f"cron {self.cron}{where}" if self.cron else "by hand"

    @property
    def is_scheduled(self) -> bool:
        return self.every is not None or self.cron is not None

    @property
    def shard_key(self) -> str:
        """What says which shard runs it."""
        return self.host or self.source

    def belongs_to(self, shard: Shard) -> bool:
        """Whether this shard runs it, alone or with the others."""
        return self.is_spread or shard.owns(self.shard_key)

    def next_after(self, moment: datetime) -> datetime:
        """The first time after `moment` that the schedule names; only for a scheduled feed."""
        if interval := self.interval:
            return moment + interval
        if self.cron is None:
            raise ValueError(f"Feed {self.name} has no schedule; it runs by hand.")
        # As Debian's cron: what a clock skips runs right after, what it repeats runs once.
        local = moment.astimezone(ZoneInfo(self.timezone))
        named = (each.astimezone(UTC) for each in CronSim(self.cron, local))
        # Within an hour that is repeated the first ones named may lie in its first turn.
        return next(each for each in named if each > moment)


_extractors: dict[str, Extractor] = {}


def extractor(
    name: str,
    *,
    every: str | None = None,
    cron: str | None = None,
    current: feeds.Current = "latest",
    keep_encoded: bool = False,
    key_headers: Iterable[str] = (),
    keep_bodies: str | None = None,
    quarantine_limit: str | int | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    max_body: int = DEFAULT_MAX_BODY,
    secrets: Secrets = NO_RULES,
    allow_private: Iterable[str] = (),
    proxy: str | None = None,
    verify: bool | str = True,
    client_certificate: Certificate = None,
    http2: bool = False,
    connect_timeout: float | None = None,
    total_timeout: float | None = None,
    rate: str | float | None = None,
    concurrency: int | None = None,
    timezone: str = "UTC",
    catch_up: CatchUp = "once",
    host: str | None = None,
    spread: bool = False,
    robots: bool = False,
    auth: Auth | Iterable[Auth] | None = None,
) -> Callable[[ExtractorFunction], ExtractorFunction]:
    """Declare the async function below as the extractor of the feed `name` (`source.feed`).

    It takes the archiving client and requests the feed's pages; whatever they answer is archived.
    `every` (`30s`, `5m`, `2h`, `1d`) or `cron` (in `timezone`) say when it runs; with neither it
    runs by hand only. `current` says which versions count: `latest` of each request, all of the
    newest complete `run`, or `all`. `key_headers` name request headers that tell two requests
    of one address apart. `keep_bodies` (`36h`, `90d`, `52w`) is how long a body is kept after
    it was seen last; without it, for ever. `quarantine_limit` (`"5%"`, or `100` payloads and rows)
    is how much of what is newest may be in quarantine; beyond it replays load nothing of the
    source, while extraction goes on. `secrets` are rules for what is to be masked, or not,
    beside what is masked everywhere. `allow_private` opens addresses that are not of the public
    internet (`["10.0.0.0/8", "127.0.0.1:8000", "intranet.example"]`). `proxy` is a proxy's address,
    or `"environment"`. `verify` is False, or the authorities' file; `client_certificate` a file, or
    one of the certificate and one of its key. `timeout` are the seconds without a byte,
    `connect_timeout` those until a connection stands, `total_timeout` those of a whole fetch.
    `rate` (`"5/s"`, `"100/m"`, `"1000/h"`) and `concurrency` are how each host it asks is asked at
    most, by all feeds and processes together; where feeds differ the strictest counts.
    `catch_up` says what becomes of runs that were missed: `skip`, `once` for all, or `all` of them.
    `host` is the host it asks, by which it belongs to a shard; with `spread` every shard runs it,
    for those addresses that `client.mine(…)` gives there. With `robots` each host's robots.txt is
    followed.
    `auth` is one of `ingest.auth`, or several: what requests show, and to whom.
    """
    if every is not None and cron is not None:
        raise ExtractorInvalid(f"Feed {name} gives both every= and cron=; keep one of them.")
    if every is not None:
        try:
            parse_interval(every)
        except ValueError as error:
            raise ExtractorInvalid(f"Feed {name}: {error}") from None
    if cron is not None:
        _refuse_bad_cron(name, cron)
    _refuse_bad_schedule(name, timezone, catch_up, cron)
    if spread and (host is not None or current == "run"):
        raise ExtractorInvalid(
            f"Feed {name}: with spread=True every shard runs it. So it belongs to none by its "
            'host=, and no run of one shard is all of it (current="run"); leave these out.'
        )
    if timeout <= 0 or max_body <= 0:
        raise ExtractorInvalid(
            f"Feed {name}: timeout= (seconds) and max_body= (bytes) must be above zero; "
            f"got {timeout} and {max_body}."
        )

    try:
        kept = None if keep_bodies is None else feeds.parse_retention(keep_bodies)
    except ValueError as error:
        raise ExtractorInvalid(f"Feed {name}: keep_bodies={error}") from None

    try:
        limit = None if quarantine_limit is None else feeds.parse_quarantine_limit(quarantine_limit)
    except ValueError as error:
        raise ExtractorInvalid(f"Feed {name}: quarantine_limit={error}") from None

    try:
        network = Network.declared(
            allow_private=allow_private,
            proxy=proxy,
            verify=verify,
            client_certificate=client_certificate,
            http2=http2,
            connect_timeout=connect_timeout,
            total_timeout=total_timeout,
        )
        auths = auth_module.declared(auth)
    except ValueError as error:
        raise ExtractorInvalid(f"Feed {name}: {error}") from None

    try:
        declared = Declared(
            rate=None if rate is None else parse_rate(rate), concurrency=concurrency
        )
    except ValueError as error:
        raise ExtractorInvalid(f"Feed {name}: rate={error}") from None
    if concurrency is not None and concurrency < 1:
        raise ExtractorInvalid(f"Feed {name}: concurrency= is 1 or more; got {concurrency}.")

    def register(function: ExtractorFunction) -> ExtractorFunction:
        if not inspect.iscoroutinefunction(function):
            raise ExtractorInvalid(
                f"Feed {name}: {_origin(function)} is not async; write `async def` before it, and "
                "`await client.get(…)` in it."
            )
        known = _extractors.get(name)
        if known and _origin(known.function) != _origin(function):
            raise ExtractorInvalid(
                f"Feed {name} has two extractors: {_origin(known.function)} and "
                f"{_origin(function)}. Give one of them another feed name."
            )
        feed = feeds.declare(
            feeds.Feed(
                name=name,
                current=current,
                keep_encoded=keep_encoded,
                key_headers=tuple(key_headers),
                keep_bodies=kept,
                quarantine_limit=limit,
            )
        )
        _extractors[name] = Extractor(
            feed=feed,
            function=function,
            every=every,
            cron=cron,
            timezone=timezone,
            catch_up=catch_up,
            host=host.lower() if host else None,
            is_spread=spread,
            robots=feeds.declare(feeds.Feed(name=f"{feed.source}.robots")) if robots else None,
            timeout=timeout,
            max_body=max_body,
            secrets=_with_those_of(auths, secrets),
            network=network,
            declared=declared,
            auth=auths,
        )
        return function

    return register


def get(name: str) -> Extractor:
    """Return the extractor of a feed, or raise `UnknownFeed` listing the known, closest first."""
    try:
        return _extractors[name]
    except KeyError:
        raise UnknownFeed(_unknown("feed", name, _extractors)) from None


def all_extractors() -> list[Extractor]:
    """Every declared extractor, by feed name."""
    return [_extractors[name] for name in sorted(_extractors)]


def select(names: Iterable[str]) -> list[Extractor]:
    """The extractors that `names` (feeds or whole sources) mean; all of them when none is given."""
    chosen: dict[str, Extractor] = {}
    names = list(names)
    for name in names:
        found = [get(name)] if "." in name else _of_source(name)
        chosen.update((each.name, each) for each in found)
    return list(chosen.values()) if names else all_extractors()


def parse_interval(text: str) -> timedelta:
    """`30s`, `5m`, `2h` or `1d` as a duration. Raises `ValueError` saying what is allowed."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds <= 0:
        raise ValueError(
            f"{text!r} is not an interval; write a number above zero and a unit, "
            "for example 30s, 5m, 2h or 1d."
        )
    return timedelta(seconds=seconds)


def parse_rate(told: str | float) -> float:
    """`5/s`, `100/m`, `1000/h` or `5000/d` as requests a second; a number is one already.

    Raises `ValueError` saying what is allowed.
    """
    if isinstance(told, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smhd])\s*", told)
        rate = float(match[1]) / _UNITS[match[2]] if match else 0.0
    else:
        rate = float(told)
    if not 0 < rate < float("inf"):
        raise ValueError(
            f"{told!r} is not a rate; write how many requests and in what time, for example "
            "5/s, 100/m or 1000/h."
        )
    return rate


def _of_source(source: str) -> list[Extractor]:
    found = [each for each in all_extractors() if each.source == source]
    if not found:
        raise UnknownFeed(_unknown("source", source, {each.source for each in all_extractors()}))
    return found


def _refuse_bad_cron(name: str, cron: str) -> None:
    try:
        next(CronSim(cron, datetime.now(UTC)))
    except CronSimError as error:
        reason = str(error) or "it has not five fields"
    except StopIteration:
        reason = "it names no moment in the coming years"
    else:
        return
    raise ExtractorInvalid(
        f"Feed {name}: {cron!r} is not a cron expression: {reason}. It is five fields: minute, "
        'hour, day of month, month, day of week; for example "15 6 * * *" is 06:15 every day.'
    )


def _refuse_bad_schedule(name: str, timezone: str, catch_up: str, cron: str | None) -> None:
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ExtractorInvalid(
            f"Feed {name}: {timezone!r} is no time zone; write its name in the tz database, for "
            "example Europe/Berlin."
        ) from None
    if timezone != "UTC" and cron is None:
        raise ExtractorInvalid(f"Feed {name} gives timezone= without cron=, which alone reads it.")
    if catch_up not in get_args(CatchUp):
        raise ExtractorInvalid(f"Feed {name}: catch_up={catch_up!r} is none of skip, once and all.")


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    listed = ", ".join(closest_first(name, known)) or "none: no source declares an extractor yet"
    return f"No extractor knows the {kind} {name!r}. Known {kind}s, closest first: {listed}."


def _with_those_of(auths: Iterable[Auth], secrets: Secrets) -> Secrets:
    """The rules of a feed, and that what it shows is a secret wherever it shows it."""
    headers = [name for each in auths for name in each.secret_headers]
    parameters = [name for each in auths for name in each.secret_parameters]
    if not headers and not parameters:
        return secrets
    return replace(
        secrets,
        headers=[*secrets.headers, *headers],
        parameters=[*secrets.parameters, *parameters],
    )


def _origin(function: ExtractorFunction) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', function)}"
