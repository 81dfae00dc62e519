"""An operation's answer by its plan, or the reason why there is none."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import DEFAULT_DB_ALIAS, DatabaseError
from django.db import connections as databases
from graphql import GraphQLError, GraphQLSchema, get_variable_values
from graphql.execution.values import VariableValues

from ..catalog import Catalog
from ..deadlines import Deadline
from ..errors import NotCompiled, TimeExceeded
from . import aggregates, connections
from .documents import Known
from .plan import ROOTS, Plan, Planner
from .reading import Ran, Reader
from .selection import find_operation, is_of_the_past
from .snapshots import snapshot
from .turns import Turns
from .values import OPTIONS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an attempt came to: JSON, or why the ordinary executor has to answer."""

    data: bytes | None = None
    reason: str | None = None
    ran: tuple[Ran, ...] = ()


class Compiler:
    """Answers the operations of one schema."""

    def __init__(self, catalog: Catalog, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._planner = Planner(catalog, schema, ROOTS | connections.ROOTS | aggregates.ROOTS)

    def answer(
        self,
        known: Known,
        name: str | None,
        inputs: Mapping[str, Any],
        *,
        database: str = DEFAULT_DB_ALIAS,
        deadline: Deadline | None = None,
    ) -> Answer:
        """Answer the operation with this name in a valid document, from one state of a database.

        Whatever goes wrong is the ordinary executor's to tell: it meets the same. Only that
        the `deadline` has passed is raised, as `TimeExceeded`.
        """
        try:
            return self._answer(known, name, inputs, database, deadline or Deadline())
        except TimeExceeded:
            raise
        except NotCompiled as reason:
            return Answer(reason=f"Not compiled: {reason}.")
        except GraphQLError as error:
            return Answer(reason=f"Refused: {error.message}")
        except DatabaseError as error:
            return Answer(reason=f"Failed: {type(error).__name__}.")
        except Exception as error:
            logger.exception("operation not answered by its plan name=%s", name)
            return Answer(reason=f"Failed: {type(error).__name__}.")

    def _answer(
        self,
        known: Known,
        name: str | None,
        inputs: Mapping[str, Any],
        database: str,
        deadline: Deadline,
    ) -> Answer:
        plan, variables = self.plan(known, name, inputs)
        with _turn(database), snapshot(database, is_one_statement=plan.is_one_statement) as state:
            reader = Reader(state=state, variables=variables, deadline=deadline)
            with deadline.over_statement(state.connection):
                found = plan.answer(reader)
        try:
            data = orjson.dumps(found, option=OPTIONS)
        except orjson.JSONEncodeError as error:
            raise NotCompiled(f"a value that orjson does not write: {error}") from error
        return Answer(data=data, ran=tuple(reader.ran))

    def plan(
        self, known: Known, name: str | None, inputs: Mapping[str, Any]
    ) -> tuple[Plan, VariableValues]:
        """An operation's plan, and its variables as GraphQL reads them. Raises `NotCompiled`."""
        operation = find_operation(known.document, name)
        if is_of_the_past(operation):
            raise NotCompiled("an operation of another time")
        variables = get_variable_values(
            self._schema, operation.variable_definitions or (), dict(inputs)
        )
        if isinstance(variables, list):
            raise NotCompiled(f"variables that do not fit: {variables[0].message}")
        switches = {
            switch: value for switch, value in variables.coerced.items() if switch in known.switches
        }
        return self._plan(known, name, switches), variables

    def _plan(self, known: Known, name: str | None, switches: Mapping[str, Any]) -> Plan:
        key = (name, *sorted(switches.items()))
        plan = known.plans.get(key)
        if plan is None:
            try:
                plan = self._planner.plan(known.document, name, switches)
            except NotCompiled as reason:
                plan = reason
            known.keep(key, plan)
        if isinstance(plan, NotCompiled):
            raise NotCompiled(str(plan))
        return plan


_turns = Turns()


def _turn(database: str) -> AbstractContextManager[None]:
    return _turns.turn() if databases[database].vendor == "sqlite" else nullcontext()
