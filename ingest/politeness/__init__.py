"""How fast a host is asked, by whichever feed, process or shard.

The database holds one row per host (`ingest.models.HostState`); a process holds a part of it for
some seconds and spends that without asking again: `paces.py` is where to start reading.
"""
