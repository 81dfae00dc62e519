"""Feeds that are pushed: webhooks and whatever else sends to the program instead of being asked.

A source declares a receiver; `POST /ingest/SOURCE/FEED` archives what is sent and answers once
that is durable. Start with `application.py`.
"""
