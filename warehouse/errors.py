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
