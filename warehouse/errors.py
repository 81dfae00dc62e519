"""What can go wrong in the warehouse; every message says what to do next."""


class WarehouseError(Exception):
    """The root of this stage's errors."""


class RollupInvalid(WarehouseError):
    """A rollup's file is not one SELECT over known tables with usable columns."""


class BuildFailed(WarehouseError):
    """A rollup could not be computed; nothing was published."""


class StatementRefused(WarehouseError):
    """A statement that does more than read."""


class QueryFailed(WarehouseError):
    """DuckDB did not accept or could not finish a statement."""


class QueryTimeout(WarehouseError):
    """A statement ran longer than it may."""


class TooManyRows(WarehouseError):
    """An answer has more rows than one may have."""


class PoolBusy(WarehouseError):
    """All processes that answer statements are at work, and others wait for them."""


class HeaderInvalid(RollupInvalid):
    """A header of a rollup's file does not say what it must."""


class AssertFailed(BuildFailed):
    """What a rollup's file asserts does not hold; nothing was published."""

    def __init__(self, message: str, *, rollup: str, assertion: str, samples: list[str]) -> None:
        super().__init__(message)
        self.rollup = rollup
        self.assertion = assertion
        self.samples = samples
        """Some of the rows that are in the way, as JSON."""
