"""The program on other engines: PostgreSQL, an S3 store, two extractor shards; real processes."""
