"""What can go wrong between payload and row."""


class ReshapeError(Exception):
    """The root of this stage's errors."""


class RowInvalid(ReshapeError):
    """A transform gave a row that its model cannot hold; the payload goes to quarantine."""

    def __init__(self, message: str, *, model: str = "", field: str = "", value: str = "") -> None:
        super().__init__(message)
        self.model = model
        self.field = field
        self.value = value


class TransformInvalid(ReshapeError):
    """A transform's SQL file is not what such a file must be."""


class NothingToReplay(ReshapeError):
    """The source has no transform."""


class LimitExceeded(ReshapeError):
    """More is in quarantine than a feed's limit allows; the live rows stay as they were."""


class LoadFailed(ReshapeError):
    """The database refused the linked rows; nothing of the replay was kept."""


class TableMistyped(ReshapeError):
    """A table holds a value that its column cannot hold: another program wrote it."""


class DiskFull(ReshapeError):
    """There is no room for what is derived; no row has changed."""


class FileUnwritable(ReshapeError):
    """A new file cannot be made where it should be."""


class HistoryUnknown(ReshapeError):
    """What was asked for can have no history: no such model, or no such key."""


class VersionUnknown(ReshapeError):
    """There is no such earlier version of a transform, or it cannot be compared."""


class Impure(ReshapeError):
    """A transform did more than read its payload; the payload goes to quarantine."""


class Overlong(ReshapeError):
    """A transform took too long over one payload, which goes to quarantine."""


class WorkerKilled(ReshapeError):
    """A worker process died twice over the same part of a segment; the other parts are parsed."""


class ReplayStopped(ReshapeError):
    """Parsing was stopped from outside; what was parsed is kept."""


class MainUnguarded(ReshapeError):
    """A script that replays would do so again in each process of the pool that imports it."""


class ClusterUnusable(ReshapeError):
    """The cluster cannot do the work: it is not there, or its workers lack what they need."""
