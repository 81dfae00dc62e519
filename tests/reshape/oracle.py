"""What link should say, computed the slow and obvious way from the payloads alone.

It follows the prose of the design, not the queries: one request at a time, in time order.
"""

from collections import defaultdict
from typing import Any

import orjson

CURRENT = {"sample.pages": "latest", "sample.catalogue": "run", "sample.loans": "all"}


def expected_rows(payloads, complete_runs):
    """Model name → key → values, for what is archived; `complete_runs` are run ids."""
    said = defaultdict(list)
    for feed, mode in CURRENT.items():
        of_feed = sorted({p.fetch_id: p for p in payloads if p.feed == feed}.values(), key=_in_time)
        current = {version.fetch_id for version in _current(of_feed, mode, complete_runs)}
        for version in _current(of_feed, "all", complete_runs):
            for ordinal, (model, values) in enumerate(_read(version.body)):
                key = values["code"] if model != "loans" else (values["book_id"], values["day"])
                place = (*_in_time(version), ordinal)
                said[model, key].append((place, version.fetch_id in current, values, version))
    rows: dict[str, dict[Any, Any]] = defaultdict(dict)
    for (model, key), records in said.items():
        records.sort(key=lambda record: record[0])
        while records and not records[-1][1]:
            records.pop()
        if records:
            values, since = records[-1][2:]
            for _, _, earlier, version in reversed(records):
                if earlier != values:
                    break
                since = version
            rows[model][key] = {**values, "fetch_id": since.fetch_id}
    return _without_dangling(rows)


def _in_time(payload):
    return payload.fetched_at, payload.sequence, str(payload.fetch_id)


def _current(of_feed, mode, complete_runs):
    if mode == "run":
        ended = {}
        for payload in of_feed:
            if payload.run_id in complete_runs:
                ended[payload.run_id] = (payload.fetched_at, str(payload.run_id))
        newest = max(ended, key=lambda run: ended[run], default=None)
        listed = {p.request_key for p in of_feed if p.run_id == newest}
    for request in {payload.request_key for payload in of_feed}:
        state = []
        before = None
        version = None
        for payload in of_feed:
            verdict = _verdict(payload)
            if payload.request_key != request or verdict is None:
                continue
            if verdict == "version" and payload.body_digest != before:
                version = payload
            before = payload.body_digest if verdict == "version" else None
            if verdict == "gone":
                version = None
            counts = mode != "run" or (payload.run_id in complete_runs and request in listed)
            if counts and (version is None or _read(version.body) is not None):
                state.append(version)
        if mode == "all":
            yield from {v.fetch_id: v for v in state if v is not None}.values()
        elif state and state[-1] is not None:
            yield state[-1]


def _verdict(payload):
    if payload.status in (404, 410):
        return "gone"
    return "version" if payload.status in (200, None) and not payload.truncated else None


def _read(body):
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return [
        (model, values)
        for model in ("authors", "books", "loans")
        for values in content.get(model, [])
    ]


def _without_dangling(rows):
    links = [("books", "author_id", "authors"), ("loans", "book_id", "books")]
    for model, field, target in links:
        rows[model] = {k: v for k, v in rows[model].items() if v[field] in rows[target]}
    return {model: found for model, found in rows.items() if found}
