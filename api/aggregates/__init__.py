"""Aggregates: counts, sums, averages and the like of any group of rows, as they are asked.

A question (`questions`) is answered by DuckDB from the published build (`engine`): from a
rollup that covers it (`rollups`), else from the columnar copies of the models, with the
list's own filters (`conditions`); where there is no copy, from rows that the serving database
filters (`answers`). `types` makes the GraphQL types, `resolve` answers on the ordinary path,
`api/compiled/aggregates.py` on the compiled one.
"""
