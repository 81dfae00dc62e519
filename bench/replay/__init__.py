"""What a replay costs: rows per second from archive to table, against what is written by hand."""
