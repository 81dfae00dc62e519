"""From the agency's three forms (GeoJSON, the same as JSONP, Atom) to quakes and networks.

The live feeds ask for GeoJSON. The other two are read because archives of older snapshots
hold them; what a body is, its first bytes say.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from reshape import Payload, Rows, transform

from .models import Network, Quake

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUSES = {"automatic", "reviewed", "deleted"}
_ATOM = {"atom": "http://www.w3.org/2005/Atom", "georss": "http://www.georss.org/georss"}
_ATOM_TITLE = re.compile(r"\AM (\?|-?\d+(?:\.\d+)?)( [A-Za-z ]+)? - (.*)\Z", re.S)
_ATOM_TIME = re.compile(r"<dt>Time</dt><dd>(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC</dd>")


@transform("quakes.hour")
def transform_hour(payload: Payload) -> Rows:
    return _rows(payload)


@transform("quakes.day")
def transform_day(payload: Payload) -> Rows:
    return _rows(payload)


@transform("quakes.week")
def transform_week(payload: Payload) -> Rows:
    return _rows(payload)


def _rows(payload: Payload) -> Rows:
    body = payload.body or b""
    if body.startswith(b"<?xml"):
        return _from_atom(payload.xml())
    return _from_geojson(payload.jsonp())


def _from_geojson(collection: dict[str, Any]) -> Rows:
    features = collection["features"]
    listed, promised = len(features), collection["metadata"]["count"]
    if listed != promised:
        raise ValueError(f"features holds {listed} quakes; metadata.count promises {promised}.")
    for feature in features:
        properties = feature["properties"]
        longitude, latitude, depth_km = feature["geometry"]["coordinates"]
        yield Network.row(code=properties["net"])
        yield Quake.row(
            code=feature["id"],
            network_id=properties["net"],
            kind=_kind(properties["type"]),
            status=_status(properties["status"]),
            place=properties["place"],
            occurred_at=_moment(properties["time"]),
            updated_at=_moment(properties["updated"]),
            latitude=latitude,
            longitude=longitude,
            depth_km=depth_km,
            magnitude=properties["mag"],
            magnitude_type=(properties["magType"] or "").lower(),
            is_rounded=False,
            significance=properties["sig"],
            felt_count=properties["felt"],
            intensity_reported=properties["cdi"],
            intensity_estimated=properties["mmi"],
            alert=properties["alert"] or "",
            has_tsunami_link=_flag(properties["tsunami"]),
            station_count=properties["nst"],
            nearest_station_degrees=properties["dmin"],
            azimuthal_gap_degrees=properties["gap"],
            residual_seconds=properties["rms"],
        )


def _from_atom(feed: Any) -> Rows:
    for entry in feed.iterfind("atom:entry", _ATOM):
        # urn:earthquake-usgs-gov:ci:38388032
        _, authority, network, code = _text(entry, "atom:id").split(":")
        if authority != "earthquake-usgs-gov":
            raise ValueError(f"An entry's id is not the agency's: {_text(entry, 'atom:id')!r}.")
        magnitude, kind, place = _match(_ATOM_TITLE, _text(entry, "atom:title"))
        (second,) = _match(_ATOM_TIME, _text(entry, "atom:summary"))
        latitude, longitude = _text(entry, "georss:point").split()
        yield Network.row(code=network)
        yield Quake.row(
            code=network + code,
            network_id=network,
            kind=(kind or "earthquake").strip().lower(),
            place=place,
            occurred_at=f"{second}+00:00",
            updated_at=_text(entry, "atom:updated"),
            latitude=float(latitude),
            longitude=float(longitude),
            # georss:elev is metres above sea level.
            depth_km=0 - float(_text(entry, "georss:elev")) / 1000,
            magnitude=None if magnitude == "?" else float(magnitude),
            is_rounded=True,
        )


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _kind(kind: str) -> str:
    # Three spellings in one year's feeds, with one and the same title.
    return "quarry blast" if kind in ("quarry", "quarry_blast") else kind


def _status(status: str) -> str:
    # In capitals until 2014.
    lowered = status.lower()
    if lowered not in _STATUSES:
        raise ValueError(f"status is {status!r}; known are {sorted(_STATUSES)}.")
    return lowered


def _flag(number: int | None) -> bool | None:
    """0, 1, or null where the agency's older program did not say."""
    if number not in (None, 0, 1):
        raise ValueError(f"tsunami is {number!r}; known are 0, 1 and null.")
    return None if number is None else number == 1


def _text(entry: Any, path: str) -> str:
    text: str | None = entry.findtext(path, namespaces=_ATOM)
    if text is None:
        raise ValueError(f"An entry has no {path}.")
    return text


def _match(pattern: re.Pattern[str], text: str) -> tuple[str | Any, ...]:
    found = pattern.search(text)
    if found is None:
        raise ValueError(f"{text!r} does not look like {pattern.pattern!r}.")
    return found.groups()
