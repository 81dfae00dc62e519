"""Open formats: payloads out to WARC files, and in from WARC and HAR files.

- `http`: heads of HTTP messages as bytes, to the letter; the chunked coding undone.
- `warc_records`: one WARC record as bytes; reading the records of a file.
- `warc_files`: the files an export makes: names, sizes, all of them or none.
- `warc_fields`: the columns of a row as a metadata record, and back.
- `warc_export`, `warc_import`: rows to records and records to rows.
- `har`: the entries of a HAR file.
- `arrivals`: where imported exchanges become rows; `redaction`: what masks their secrets before.

Nothing here needs a WARC library; the tests read and write with two.
"""
