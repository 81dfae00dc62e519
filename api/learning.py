"""Learning a document: parsed within bounds, measured, validated, and what it reaches."""

from graphql import GraphQLError, GraphQLSchema, parse, specified_rules
from strawberry.schema.schema import validate_document

from .catalog import Catalog
from .compiled.documents import Learned, Unfit, known_of
from .errors import RequestRefused
from .measuring import MAX_CHARACTERS, MAX_TOKENS, measure
from .reach import reach_of


class Learner:
    """Studies the documents that are asked of one schema."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._schema: GraphQLSchema | None = None

    def teach(self, schema: GraphQLSchema) -> None:
        """The schema, which is made after those who ask here."""
        self._schema = schema

    def study(self, text: str) -> Learned:
        """What is to be known of a document; never raises for what a client wrote."""
        assert self._schema is not None
        if len(text) > MAX_CHARACTERS:
            return Unfit(
                None,
                (
                    RequestRefused(
                        f"A document has at most {MAX_CHARACTERS} characters. "
                        "Put what is large into variables."
                    ),
                ),
            )
        try:
            document = parse(text, max_tokens=MAX_TOKENS)
        except GraphQLError as error:
            return Unfit(None, (error,))
        except RecursionError:
            return Unfit(None, (RequestRefused("This document is nested too deep to be read."),))
        try:
            measure(document)
        except RequestRefused as error:
            return Unfit(document, (error,))
        if errors := validate_document(self._schema, document, tuple(specified_rules)):
            return Unfit(document, tuple(errors))
        return known_of(document, reach_of(document, self._schema, self._catalog))
