"""One body of the port: `{"vessels": [...], "cargoes": [...], "carried": [...], …}`."""

from reshape import transform

from .models import Boat, Cargo, Pilot, Vessel, VesselCargo

_MODELS = {
    "vessels": Vessel,
    "cargoes": Cargo,
    "carried": VesselCargo,
    "boats": Boat,
    "pilots": Pilot,
}


@transform("port.registry")
def transform_registry(payload):
    yield from _rows(payload)


@transform("port.sightings")
def transform_sightings(payload):
    yield from _rows(payload)


@transform("port.log")
def transform_log(payload):
    yield from _rows(payload)


def _rows(payload):
    for name, rows in payload.json().items():
        for row in rows:
            yield _MODELS[name].row(**row)
