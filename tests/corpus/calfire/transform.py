"""From both forms of the publisher's list to incidents and their counties."""

from typing import Any

from reshape import Payload, Rows, transform

from .models import County, Incident, IncidentCounty


@transform("calfire.incidents")
def transform_incidents(payload: Payload) -> Rows:
    document = payload.json()
    if isinstance(document, list):
        for incident in document:
            yield _from_map(incident)
            # "Los Angeles,Ventura"
            yield from _counties(incident["UniqueId"], incident["County"].split(","))
    else:
        for incident in document["Incidents"]:
            yield _from_first_list(incident)
            yield from _counties(incident["UniqueId"], incident["Counties"])


def _from_first_list(incident: dict[str, Any]) -> Any:
    """The list of 2020 to March 2023."""
    return Incident.row(
        code=incident["UniqueId"],
        name=incident["Name"],
        location=incident["Location"].strip(),
        admin_unit=(incident["AdminUnit"] or "").strip(),
        latitude=incident["Latitude"],
        longitude=incident["Longitude"],
        acres=incident["AcresBurned"],
        percent_contained=incident["PercentContained"],
        started_on=_day(incident["Started"]),
        updated_on=_day(incident["Updated"]),
        path=incident["CanonicalUrl"],
        is_major=incident["MajorIncident"],
        structures_destroyed_count=incident["StructuresDestroyed"],
        structures_damaged_count=incident["StructuresDamaged"],
        personnel_count=incident["PersonnelInvolved"],
        crew_count=incident["CrewsInvolved"],
        engine_count=incident["Engines"],
        helicopter_count=incident["Helicopters"],
        injury_count=incident["Injuries"],
        fatality_count=incident["Fatalities"],
    )


def _from_map(incident: dict[str, Any]) -> Any:
    """The list since June 2023: no crews, no losses, dates only."""
    return Incident.row(
        code=incident["UniqueId"],
        name=incident["Name"],
        location=incident["Location"].strip(),
        admin_unit=incident["AdminUnit"].strip(),
        latitude=incident["Latitude"],
        longitude=incident["Longitude"],
        acres=incident["AcresBurned"],
        percent_contained=incident["PercentContained"],
        started_on=_day(incident["Started"]),
        updated_on=_day(incident["Updated"]),
        path=incident["Url"],
    )


def _counties(code: str, names: list[str]) -> Rows:
    for name in names:
        yield County.row(name=name)
        yield IncidentCounty.row(incident_id=code, county_id=name)


def _day(written: str) -> str:
    """The date of a time in any of the five forms in use, as the publisher wrote it."""
    day, _, _ = written.partition("T")
    return day
