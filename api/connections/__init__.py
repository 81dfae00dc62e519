"""Connections: lists walked by cursors, which stay right while rows are loaded.

A cursor holds the place of a row in an order: its values of the ordered columns and its key
(`cursors`). The page after it is what lies beyond these values, wherever the row itself is by
then. `pages` reads the arguments, `counts` says how many rows there are, `types` makes the
GraphQL types and `resolve` answers on the ordinary path; `api/compiled/connections.py` is the
compiled one.
"""
