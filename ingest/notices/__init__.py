"""Notices: when a run fails, recovers or finishes, somebody is told.

`NOTICES` says who and of what. A notice is a row of the database until it is delivered, so a
restart loses none. Start with `outbox.py`.
"""
