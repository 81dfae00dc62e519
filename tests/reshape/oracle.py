"""What link should say, computed the slow and obvious way from the payloads alone.

It follows the prose of the design, not the queries: one request at a time, in time order.
"""

from collections import defaultdict
from typing import Any

import orjson

CURRENT = {"sample.pages": "latest", "sample.catalogue": "run", "sample.loans": "all"}
PORT = {"port.registry": "latest", "port.sightings": "latest", "port.log": "all"}
FERRY = {"ferry.timetable": "latest"}

# What tests/port/models.py declares of a vessel, in plain words.
VESSEL_DEFAULTS: dict[str, Any] = {"flag": None, "length_m": 7, "tender_id": None, "cargoes": []}
TRUSTED = {"name": ["port.registry", "port.sightings"]}


def expected_rows(payloads, complete_runs, bad_rows="payload"):
    """Model name → key → values, for what is archived; `complete_runs` are run ids."""
    rows: dict[str, dict[Any, Any]] = defaultdict(dict)
    for (model, key), records in _said(payloads, CURRENT, complete_runs, bad_rows).items():
        if row := _newest(records):
            rows[model][key] = row
    return _without_dangling(rows)


def expected_port(payloads):
    """Vessels, cargoes and the links between them, and the keys of the rows that are held."""
    rows: dict[str, dict[Any, Any]] = defaultdict(dict)
    held = set()
    for (model, key), records in _said(payloads, PORT).items():
        row = _newest(records) if model == "cargoes" else _merged(records)
        if row and "name" not in row and model == "vessels":
            held.add((model, key))
        elif row:
            rows[model][key] = row
    vessels = rows["vessels"]
    for code, vessel in list(vessels.items()):
        follow, seen = code, set()
        # A tender may have a tender: one that is missing anywhere in the chain holds them all.
        while follow in vessels and follow not in seen:
            seen.add(follow)
            follow = vessels[follow]["tender_id"]
        if follow is not None and follow not in vessels:
            held.add(("vessels", code))
        for cargo in vessel["cargoes"]:
            rows["links"][code, cargo] = {"fetch_id": vessel["fetch_id"]}
    for _, code in {each for each in held if each[0] == "vessels"}:
        vessels.pop(code, None)
    for code, cargo in list(rows["links"]):
        if code not in vessels or cargo not in rows["cargoes"]:
            held.add(("links", (code, cargo)))
            del rows["links"][code, cargo]
    for vessel in vessels.values():
        del vessel["cargoes"]
    # A vessel that never had a name lists its cargoes all the same.
    for (model, key), records in _said(payloads, PORT).items():
        if (model, key) in held and model == "vessels":
            held |= {("links", (key, cargo)) for cargo in (_merged(records) or {})["cargoes"]}
    return {model: found for model, found in rows.items() if found}, held


def expected_ferry(payloads, vessels):
    """Lines and stops, given the vessels that there are, and the keys of the rows that are held."""
    rows: dict[str, dict[Any, Any]] = {"lines": {}, "stops": {}}
    held = set()
    said = _said(payloads, FERRY)
    for model, link, targets in (("lines", "vessel_id", vessels), ("stops", "line_id", None)):
        for (of, key), records in said.items():
            row = _newest(records) if of == model else None
            if row and row[link] in (rows["lines"] if targets is None else targets):
                rows[model][key] = row
            elif row:
                held.add((model, key))
    return {model: found for model, found in rows.items() if found}, held


def _said(payloads, modes, complete_runs=frozenset(), bad_rows="payload"):
    """Model and key → what each version says of it, in time order: place, whether it counts."""
    said = defaultdict(list)
    for feed, mode in modes.items():
        of_feed = sorted({p.fetch_id: p for p in payloads if p.feed == feed}.values(), key=_in_time)
        current = {v.fetch_id for v in _current(of_feed, mode, complete_runs, bad_rows)}
        for version in _current(of_feed, "all", complete_runs, bad_rows):
            for ordinal, (model, values) in _read(version.body, bad_rows):
                key = tuple(values[name] for name in _KEYS.get(model, ["code"]))
                place = (*_in_time(version), ordinal)
                said[model, key if len(key) > 1 else key[0]].append(
                    (place, version.fetch_id in current, values, version)
                )
    for records in said.values():
        records.sort(key=lambda record: record[0])
    return said


_KEYS = {"loans": ["book_id", "day"], "stops": ["line_id", "place"]}


def _newest(records):
    """What the newest record that counts says, since the first in a row that says the same."""
    records = list(records)
    while records and not records[-1][1]:
        records.pop()
    if not records:
        return None
    values, since = records[-1][2:]
    for _, _, earlier, version in reversed(records):
        if earlier != values:
            break
        since = version
    return {**values, "fetch_id": since.fetch_id}


def _merged(records):
    """Each column by itself: the most trusted feed's newest word on it, since it says so."""
    if not any(counts for _, counts, _, _ in records):
        return None
    row = dict(VESSEL_DEFAULTS)
    since = [records[0][0]]
    for column in ("code", "name", *VESSEL_DEFAULTS):
        listed = TRUSTED.get(column, [])
        by_trust = defaultdict(list)
        for place, counts, values, version in records:
            if column in values:
                trust = listed.index(version.feed) if version.feed in listed else len(listed)
                value = values[column]
                said = sorted(set(value)) if column == "cargoes" else value
                by_trust[trust].append((place, counts, said))
        spoken = [trust for trust, series in by_trust.items() if any(s[1] for s in series)]
        if not spoken:
            continue
        series = by_trust[min(spoken)]
        while not series[-1][1]:
            series.pop()
        row[column] = series[-1][2]
        first = series[-1][0]
        for place, _, value in reversed(series):
            if value != row[column]:
                break
            first = place
        since.append(first)
    (version,) = [version for place, _, _, version in records if place == max(since)]
    return {**row, "fetch_id": version.fetch_id}


def expected_rejected(payloads, complete_runs):
    """`(fetch_id, ordinal)` of the rows that are set aside where bad rows go alone."""
    found = set()
    for feed, mode in CURRENT.items():
        of_feed = sorted({p.fetch_id: p for p in payloads if p.feed == feed}.values(), key=_in_time)
        versions = list(_current(of_feed, mode, complete_runs, "row"))
        said = [
            ((*_in_time(version), ordinal), model, _key(model, values))
            for version in versions
            for ordinal, (model, values) in _read(version.body, "row")
        ]
        for version in versions:
            good = {ordinal for ordinal, _ in _read(version.body, "row")}
            for ordinal, (model, values) in enumerate(_rows(version.body)):
                place = (*_in_time(version), ordinal)
                is_said_later = any(
                    each == model and key == _key(model, values) and at > place
                    for at, each, key in said
                )
                if ordinal not in good and not is_said_later:
                    found.add((version.fetch_id, ordinal))
    return found


def _key(model, values):
    return values["code"] if model != "loans" else (values["book_id"], values["day"])


def _in_time(payload):
    return payload.fetched_at, payload.sequence, str(payload.fetch_id)


def _current(of_feed, mode, complete_runs, bad_rows):
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
            if counts and (version is None or _read(version.body, bad_rows) is not None):
                state.append(version)
        if mode == "all":
            yield from {v.fetch_id: v for v in state if v is not None}.values()
        elif state and state[-1] is not None:
            yield state[-1]


def _verdict(payload):
    if payload.status in (404, 410):
        return "gone"
    return "version" if payload.status in (200, None) and not payload.truncated else None


def _read(body, bad_rows):
    """Ordinal and row of each valid row; None where the payload cannot be read."""
    rows = _rows(body)
    if rows is None:
        return None
    good = [(ordinal, row) for ordinal, row in enumerate(rows) if _is_valid(row)]
    if len(good) < len(rows) and (bad_rows == "payload" or not good):
        return None
    return good


def _is_valid(row):
    model, values = row
    return model != "authors" or isinstance(values["name"], str)


def _rows(body):
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return [
        (model, values)
        for model in ("authors", "books", "loans", "cargoes", "vessels", "lines", "stops")
        for values in content.get(model, [])
    ]


def _without_dangling(rows):
    links = [("books", "author_id", "authors"), ("loans", "book_id", "books")]
    for model, field, target in links:
        rows[model] = {k: v for k, v in rows[model].items() if v[field] in rows[target]}
    return {model: found for model, found in rows.items() if found}
