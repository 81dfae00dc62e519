"""Neighbours: sources whose rows link to rows of other sources.

A source *rests on* those that its foreign keys lead into. Its rows are judged by the rows
that those have, so it is linked after them, and again when their keys change.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db import models

from .models import Derived, derived_models

Graph = Mapping[str, frozenset[str]]
"""Source → the sources it rests on, itself never among them."""


def links_of(model: type[models.Model]) -> "Iterator[models.ForeignKey[Any, Any]]":
    """The foreign keys of a model."""
    for field in model._meta.concrete_fields:
        if isinstance(field, models.ForeignKey):
            yield field


def targets_elsewhere(source: str) -> list[type[models.Model]]:
    """The models of other sources that this source's models link to, by table."""
    found = {
        link.target_field.model
        for model in derived_models(source)
        for link in links_of(model)
        if link.target_field.model._meta.app_label != source
    }
    return sorted(found, key=lambda model: model._meta.db_table)


def graph_of(models: Iterable[type[Derived]]) -> Graph:
    """Which source of these models rests on which."""
    found: dict[str, set[str]] = {}
    for model in models:
        source = model._meta.app_label
        targets = {link.target_field.model._meta.app_label for link in links_of(model)}
        found.setdefault(source, set()).update(targets - {source})
    return {source: frozenset(targets) for source, targets in found.items()}


def in_order(sources: Iterable[str], graph: Graph | None = None) -> list[str]:
    """The sources, each after those it rests on; otherwise as they came, each once."""
    graph = graph_of(derived_models()) if graph is None else graph
    wanted = list(dict.fromkeys(sources))
    every: list[str] = []
    for source in wanted:
        _visit(source, graph, every, [])
    return [source for source in every if source in wanted]


def dependents(source: str, graph: Graph | None = None) -> list[str]:
    """The sources that rest on this one, directly or through others, in the order to link them."""
    graph = graph_of(derived_models()) if graph is None else graph
    found = {source}
    grew = True
    while grew:
        more = {each for each, below in graph.items() if below & found} - found
        found |= more
        grew = bool(more)
    return in_order(sorted(found - {source}), graph)


def find_cycle(graph: Graph) -> list[str]:
    """Sources that rest on each other in a circle, the first repeated at the end, or none."""
    seen: list[str] = []
    for source in sorted(graph):
        if cycle := _visit(source, graph, seen, []):
            return cycle
    return []


def _visit(source: str, graph: Graph, seen: list[str], path: list[str]) -> list[str]:
    """Add `source` to `seen` after all it rests on; return a circle that was met, if any."""
    if source in path:
        return [*path[path.index(source) :], source]
    if source in seen:
        return []
    cycle: list[str] = []
    for below in sorted(graph.get(source, ())):
        cycle = _visit(below, graph, seen, [*path, source]) or cycle
    seen.append(source)
    return cycle
