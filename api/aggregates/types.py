"""The GraphQL types of an entity's aggregates: groups, their keys and their measures."""

import enum
from collections.abc import Iterable
from typing import Any

import strawberry
from strawberry.types.field import StrawberryField
from strawberry_django import Ordering

from ..catalog import Entity
from ..connections.resolve import ConnectionResolvers
from ..connections.types import PageInfo
from ..meanings import Aggregated
from ..pages import DEFAULT_LIMIT, MAX_LIMIT
from ..resolve import Resolvers
from ..scalars import BigInt
from ..types import TypeMaker
from .questions import Grouping, Measure, groupings, numbers, ordered, scalar_of
from .resolve import AggregateResolvers, key_link, measure_part, quantile_part, rows_resolver

_ABOUT = {
    "sum": "Sums; null where no row has a value.",
    "avg": "Means.",
    "min": "Least values.",
    "max": "Greatest values.",
    "stddev": "Standard deviations of samples; null for fewer than two values.",
}


def aggregate_types(maker: TypeMaker, entity: Entity, resolvers: Resolvers, module: str) -> None:
    """Make the types of an entity's aggregates, and offer them by name."""
    names = entity.names
    made = _Maker(maker, entity, resolvers, module)
    made.enum()
    made.orders()
    made.key()
    fields = [
        maker.field(
            "key", f"{names.type}GroupKey", _itself, description="What the group's rows share."
        ),
        maker.field("count", BigInt, measure_part("count"), description="How many rows it has."),
    ]
    fields += made.measures()
    fields.append(
        maker.field(
            "rows",
            names.connection_type,
            rows_resolver(entity, ConnectionResolvers(resolvers)),
            [
                maker.argument("order", f"list[{names.order}] | None"),
                maker.argument("first", int | None),
                maker.argument("after", str | None),
                maker.argument("last", int | None),
                maker.argument("before", str | None),
            ],
            description="The group's rows, by cursor.",
        )
    )
    made.type("Group", f"{names.many} that have a key in common.", fields)
    made.type(
        "Groups",
        f"A page of groups of {names.many}.",
        [
            maker.field("nodes", f"list[{names.type}Group]", python_name="nodes"),
            maker.field("pageInfo", PageInfo, python_name="page_info"),
            maker.field(
                "totalCount",
                int,
                python_name="total_count",
                description="How many groups there are.",
            ),
            maker.field(
                "answeredBy",
                str,
                python_name="answered_by",
                description="What the numbers were made from: `columnar copy`, `rollup NAME`, or "
                "`serving database` where there is no copy yet.",
            ),
        ],
    )


def aggregate_root(
    maker: TypeMaker, entity: Entity, resolvers: AggregateResolvers
) -> StrawberryField:
    """The field of `Query` that aggregates an entity's rows."""
    names = entity.names
    return maker.field(
        names.aggregate,
        names.groups_type,
        resolvers.aggregate(entity),
        [
            *maker.list_arguments(entity)[:1],
            maker.argument("group_by", f"list[{names.type}GroupBy] | None", name="groupBy"),
            maker.argument("order", f"list[{names.type}GroupOrder] | None"),
            maker.argument("first", int | None),
            maker.argument("after", str | None),
        ],
        description=f"Numbers of {names.many}, in all or by group; a page of groups has "
        f"{DEFAULT_LIMIT} unless asked otherwise, at most {MAX_LIMIT}.",
        meaning=Aggregated(entity),
    )


def _itself(root: Any) -> Any:
    return root


class _Maker:
    """Makes the types of one entity's aggregates."""

    def __init__(self, maker: TypeMaker, entity: Entity, resolvers: Resolvers, module: str) -> None:
        self._maker = maker
        self._resolvers = resolvers
        self._entity = entity
        self._module = module
        self._groupings = groupings(entity)
        self._numbers = numbers(entity)
        self._ordered = ordered(entity)

    def type(self, suffix: str, description: str, fields: Iterable[StrawberryField]) -> None:
        name = f"{self._entity.names.type}{suffix}"
        attributes = {field.python_name: field for field in fields}
        made = type(name, (), {**attributes, "__module__": self._module})
        self._maker.offer(name, strawberry.type(made, name=name, description=description))

    def enum(self) -> None:
        name = f"{self._entity.names.type}GroupBy"
        make: Any = enum.Enum
        made = make(name, {each.name: each.name for each in self._groupings})
        self._maker.offer(
            name,
            strawberry.enum(
                made, name=name, description="A column to group by, or the period of its moments."
            ),
        )

    def orders(self) -> None:
        kind = self._entity.names.type
        self._input("GroupKeyOrder", {each.name: Ordering for each in self._groupings})
        parts: dict[str, Any] = {"count": Ordering, "key": f"{kind}GroupKeyOrder"}
        if self._numbers:
            self._input("NumberOrder", {each.name: Ordering for each in self._numbers})
            parts |= dict.fromkeys(("sum", "avg", "stddev"), f"{kind}NumberOrder")
        if self._ordered:
            self._input("ExtremeOrder", {each.name: Ordering for each in self._ordered})
            parts |= dict.fromkeys(("min", "max"), f"{kind}ExtremeOrder")
        self._input("GroupOrder", parts)

    def _input(self, suffix: str, fields: dict[str, Any]) -> None:
        name = f"{self._entity.names.type}{suffix}"
        # Python names of their own: a column may be called like a method of a class.
        annotations = {
            f"by_{field}": kind | None if isinstance(kind, type) else f"{kind} | None"
            for field, kind in fields.items()
        }
        attributes: dict[str, Any] = {
            f"by_{field}": strawberry.field(name=field, default=strawberry.UNSET)
            for field in fields
        }
        made = type(
            name,
            (),
            {**attributes, "__annotations__": annotations, "__module__": self._module},
        )
        self._maker.offer(
            name,
            strawberry.input(
                made, name=name, one_of=True, description="What to order groups by: one of these."
            ),
        )

    def key(self) -> None:
        fields = [
            self._maker.field(
                each.name,
                each.scalar | None,
                python_name=f"group_{each.name}",
                description=_about_period(each),
            )
            for each in self._groupings
        ]
        taken = {each.name for each in self._groupings}
        for relation in self._entity.relations:
            if relation.is_list or relation.name in taken:
                continue
            if any(each.column.attname == relation.own for each in self._groupings):
                target = self._resolvers.catalog[relation.target]
                fields.append(
                    self._maker.field(
                        relation.name,
                        f"{target.names.type} | None",
                        key_link(self._resolvers, self._entity, relation),
                        description="Where groupBy names "
                        f"{self._entity.column(relation.own).name}.",
                    )
                )
        self.type("GroupKey", "The values that a group's rows share.", fields)

    def measures(self) -> list[StrawberryField]:
        kind, found = self._entity.names.type, []
        shown = {"sum": "Sums", "avg": "Averages", "stddev": "Averages"}
        if self._numbers:
            sums = [
                (each, scalar_of(self._entity, Measure("sum", each.attname)))
                for each in self._numbers
            ]
            self._values("Sums", sums)
            self._values("Averages", [(each, float) for each in self._numbers])
        if self._ordered:
            self._values("Extremes", [(each, each.scalar) for each in self._ordered])
            shown |= {"min": "Extremes", "max": "Extremes"}
            several = [
                (each, list[float | None if each in self._numbers else each.scalar | None])  # type: ignore[misc]
                for each in self._ordered
            ]
            self._values("Quantiles", several)
        for function, suffix in shown.items():
            if suffix in ("Sums", "Averages") and not self._numbers:
                continue
            found.append(
                self._maker.field(
                    function,
                    f"{kind}{suffix}",
                    measure_part(function),
                    description=_ABOUT[function],
                )
            )
        if self._ordered:
            found.append(
                self._maker.field(
                    "quantiles",
                    f"{kind}Quantiles",
                    quantile_part(),
                    [self._maker.argument("p", list[float])],
                    description="The values below which these parts of the rows lie, such as "
                    "[0.5] for the median: of numbers between two where none is there, of dates "
                    "and times one that is.",
                )
            )
        return found

    def _values(self, suffix: str, columns: list[tuple[Any, Any]]) -> None:
        fields = [
            self._maker.field(
                column.name,
                scalar | None,
                python_name=column.attname,
                description=column.description,
            )
            for column, scalar in columns
        ]
        self.type(suffix, "A number for each column.", fields)


def _about_period(grouping: Grouping) -> str | None:
    if grouping.unit is None:
        return grouping.column.description
    return f"The {grouping.unit} (UTC) that {grouping.column.name} lies in, by its beginning."
