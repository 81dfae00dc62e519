"""What can go wrong between a question and its answer; every message says what to do next."""

from graphql import GraphQLError


class ApiError(Exception):
    """The root of this stage's errors."""


class SchemaError(ApiError):
    """The models, rollups and `schema.py` files do not make a GraphQL schema."""


class TokenRefused(ApiError):
    """A token that cannot be made or revoked as asked."""


class RequestRefused(ApiError, GraphQLError):
    """A question the API understands and will not answer: its message goes to the client."""


class QuestionTooLarge(RequestRefused):
    """A request whose body is larger than any question is."""


class TimeExceeded(RequestRefused):
    """An operation that was not answered in time, and was stopped."""


class NotCompiled(ApiError):
    """An operation that the compiled path leaves to the ordinary executor; the message says why."""
