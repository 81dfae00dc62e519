"""Where secrets stand: names, texts, bodies, token answers, what a run met, log records.

`ingest.redact` puts the parts together. Nothing here needs Django or the HTTP client.
"""
