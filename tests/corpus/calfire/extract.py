"""The wildfires that CAL FIRE lists at the moment.

Until March 2023 the list was `GET https://www.fire.ca.gov/umbraco/Api/IncidentApi/GetIncidents`,
in another form and with other ids; recorded histories of both are versions of this one feed.
"""

from ingest import Client, extractor


@extractor("calfire.incidents")
async def extract_incidents(client: Client) -> None:
    response = await client.post(
        "https://www.fire.ca.gov/api/sitecore/Incident/GetFiresForMap",
        data={"showFeatured": "False"},
    )
    response.raise_for_status()
