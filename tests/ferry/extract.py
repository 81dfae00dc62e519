"""The company's one feed."""

from ingest import extractor


@extractor("ferry.timetable")
async def extract_timetable(client):
    await client.get("http://127.0.0.1:9/timetable")
