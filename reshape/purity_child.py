"""One process of a purity check: `python -m reshape.purity_child WORK TOLD ZONE AHEAD`.

WORK names a transform and holds payloads (pickled by `reshape.purity_check`); what the transform
says of each is written to TOLD. ZONE is the time zone, AHEAD the seconds that the clocks are fast.
"""

import datetime as datetime_module
import importlib
import locale
import os
import pickle
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any


class _Ahead:
    """How far the clocks run ahead."""

    by = timedelta(0)


class _SeenAs(type):
    """A class that stands for another: instances of that one are instances of this one."""

    stands_for: type

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.stands_for)


class _Datetime(datetime, metaclass=_SeenAs):
    """`datetime` with another idea of now; what it makes are plain datetimes."""

    stands_for = datetime

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        return datetime(*arguments, **options)  # noqa: DTZ001 - as the caller has it

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + _Ahead.by

    @classmethod
    def utcnow(cls) -> Any:
        return datetime.now(datetime_module.UTC).replace(tzinfo=None) + _Ahead.by

    @classmethod
    def today(cls) -> Any:
        return datetime.now() + _Ahead.by  # noqa: DTZ005 - what the real one gives


class _Date(date, metaclass=_SeenAs):
    """`date` with another idea of today."""

    stands_for = date

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        return date(*arguments, **options)

    @classmethod
    def today(cls) -> Any:
        return (datetime.now() + _Ahead.by).date()  # noqa: DTZ005 - what the real one gives


def main(work: Path, told: Path, zone: str, ahead_s: float) -> None:
    """Run the transform that `work` names over its payloads; write to `told` what it said.

    In the time zone `zone`, with clocks that are `ahead_s` seconds fast.
    """
    import django

    django.setup()
    # Django has set the process's time zone from its settings.
    os.environ.update(TZ=zone)
    time.tzset()
    with suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")
    module_name, qualified_name, payloads = pickle.loads(work.read_bytes())
    function: Any = importlib.import_module(module_name)
    for part in qualified_name.split("."):
        function = getattr(function, part)
    _Ahead.by = timedelta(seconds=ahead_s)
    _shift_clocks(module_name)

    from .purity import guarding

    with guarding():
        said = [_say(function, payload) for payload in payloads]
    told.write_bytes(pickle.dumps(said))


def _say(function: Callable[..., Any], payload: Any) -> dict[str, Any]:
    """What a transform says of a payload: its rows with the fields as text, or its error."""
    from .columns import columns_of
    from .purity import run_guarded

    try:
        rows = [
            (
                row.model._meta.label,
                dict(
                    zip(
                        (column.name for column in columns_of(row.model).given),
                        map(repr, columns_of(row.model).convert(row.values)),
                        strict=True,
                    )
                ),
            )
            for row in run_guarded(function, payload)
        ]
    except Exception as error:
        return {"rows": [], "error": f"{type(error).__name__}: {error}"}
    return {"rows": rows, "error": None}


def _shift_clocks(module_name: str) -> None:
    """Let the clocks that the transform's package can read run ahead."""
    instead: dict[int, Any] = {}
    for name, ahead in _clocks().items():
        instead[id(getattr(time, name))] = ahead
        setattr(time, name, ahead)
    shifted = ModuleType("datetime")
    shifted.__dict__.update(datetime_module.__dict__, datetime=_Datetime, date=_Date)
    instead |= {id(datetime): _Datetime, id(date): _Date, id(datetime_module): shifted}
    package = module_name.partition(".")[0]
    own = {module_name, module_name.rpartition(".")[0], "django.utils.timezone"}
    for name, module in list(sys.modules.items()):
        if name in own or name.startswith(f"{module_name.rpartition('.')[0] or package}."):
            for attribute, value in list(vars(module).items()):
                if id(value) in instead:
                    setattr(module, attribute, instead[id(value)])
    # What is imported from now on, as inside of a function, is ahead as well.
    sys.modules["datetime"] = shifted


def _clocks() -> dict[str, Callable[..., Any]]:
    """The functions of `time` that tell what time it is, each of them ahead."""
    by = _Ahead.by.total_seconds()
    now, now_ns, of_clock, of_clock_ns = (
        time.time, time.time_ns, time.clock_gettime, time.clock_gettime_ns
    )  # fmt: skip
    local, formatted, plain = time.localtime, time.strftime, time.asctime

    def of_moment(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda seconds=None: real(now() + by if seconds is None else seconds)

    def is_told(clock: int) -> bool:
        return clock == time.CLOCK_REALTIME

    return {
        "time": lambda: now() + by,
        "time_ns": lambda: now_ns() + int(by) * 10**9,
        "clock_gettime": lambda clock: of_clock(clock) + by * is_told(clock),
        "clock_gettime_ns": lambda clock: of_clock_ns(clock) + int(by) * 10**9 * is_told(clock),
        "gmtime": of_moment(time.gmtime),
        "localtime": of_moment(local),
        "ctime": of_moment(time.ctime),
        "asctime": lambda given=None: plain(given or local(now() + by)),
        "strftime": lambda form, given=None: formatted(form, given or local(now() + by)),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
