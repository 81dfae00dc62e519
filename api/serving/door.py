"""The door: what happens to a GraphQL request before Django, in one function a reader can follow.

Whoever may not ask is told so. The question is read, its document found or learned. Where the
client holds the answer already, nothing is executed. Otherwise the plan answers, or Django
does; either answer goes out with its tag, compressed. Whatever is no question goes to Django
as it came.
"""

import asyncio
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from ..access import READ, Caller, caller_of
from ..access.recognising import is_own_site
from ..compiled.documents import Known
from ..compiled.selection import AS_OF
from ..compiled.workers import in_worker
from ..deadlines import DEADLINE, Deadline
from ..errors import QuestionTooLarge, RequestRefused
from ..limits import bound
from ..schema import Api, made_api
from . import THROUGH, lane
from .answers import Reply, Send, is_held, of_error, send_not_modified, send_reply, tag_of
from .behind import Application, Message, Receive, asked_again, by_django
from .exports import asked_form, export
from .live import EVENTS, Streams
from .questions import MAX_BODY, Question, Scope, headers_of, in_address, is_json, posted
from .versions import Watch, code_version

PATH = "/graphql"
Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question and who asks it."""

    api: Api
    question: Question
    caller: Caller
    known: Known | None
    """Null where the ordinary path has to tell why it is refused."""
    scope: Scope


class Door:
    """The door of one application."""

    def __init__(self, django: Application) -> None:
        self._django = django
        self._watch = Watch()
        self.streams = Streams()
        self._code_version = ""

    def close(self) -> None:
        """Forget what is known of the database, and close what was opened for it."""
        self._watch.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request."""
        api = made_api()
        headers = headers_of(scope)
        if api is None or not await _is_for_here(scope, headers):
            await self._django(scope, receive, send)
            return
        try:
            messages = await _received(receive)
            body = b"".join(message.get("body", b"") for message in messages)
            is_get = scope["method"] == "GET"
            question = in_address(scope["query_string"]) if is_get else posted(body)
        except QuestionTooLarge as error:
            await send_reply(of_error(error, 413), headers, send)
            return
        except RequestRefused as error:
            await send_reply(of_error(error), headers, send)
            return
        if question is None and is_get:
            none = RequestRefused("This address holds no question: ?query=… or ?extensions=….")
            await send_reply(of_error(none, 400), headers, send)
        elif question is None:
            await self._django(scope, asked_again(messages, receive), send)
        else:
            await self._answer(api, question, scope, receive, send)

    async def _answer(
        self, api: Api, question: Question, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers = headers_of(scope)
        caller = await caller_of(scope)
        learned = api.documents.find(question.text)
        if learned is None:
            learned = await in_worker(lambda: api.documents.learn(question.text))
        known = learned if isinstance(learned, Known) else None
        if known is not None and _is_refused(api, known, question, caller):
            known = None
        asked = _Asked(api, question, caller, known, scope)
        if EVENTS.encode() in headers.get(b"accept", b""):
            await self._stream(asked, receive, send)
            return
        tag = ""
        # How an answer was made is another one each time.
        is_kept = known is not None and b"x-plan" not in headers
        if known is not None and is_kept:
            tag = await self._tag(api, known, question, caller)
            if form := asked_form(headers):
                tag = tag and tag_of(tag, form)
            if is_held(tag, headers):
                await send_not_modified(tag, headers, send)
                return
            if form:
                await export(api, known, question, form, tag, headers, receive, send)
                return
        reply = await self._reply(asked, receive)
        if reply is None:
            return
        if is_kept and reply.is_whole:
            reply = replace(reply, tag=tag or "b" + tag_of(reply.body))
            if is_held(reply.tag, headers):
                await send_not_modified(reply.tag, headers, send)
                return
        await send_reply(reply, headers, send)

    async def _reply(self, asked: "_Asked", receive: Receive) -> Reply | None:
        """A question's answer, by its plan or by Django; none if the client has left."""
        deadline = Deadline()
        headers = headers_of(asked.scope)
        is_plain = b"x-plan" not in headers and _takes_json(headers)
        if asked.known is not None and is_plain and lane.is_open():
            reply = await lane.answer(asked.api, asked.known, asked.question, deadline)
            if reply is not None:
                return reply
        inner = {**asked.scope, DEADLINE: deadline, THROUGH: True}
        return await by_django(self._django, asked.question, inner, receive, deadline)

    async def _stream(self, asked: "_Asked", receive: Receive, send: Send) -> None:
        """Answer a question by events, again and again where it is live."""

        async def mark() -> Hashable:
            known = asked.known
            tag = known and await self._tag(asked.api, known, asked.question, asked.caller)
            return tag or await self._watch.mark()

        await self.streams.serve(
            asked.scope,
            receive,
            send,
            answer=lambda: self._reply(asked, _never),
            mark=mark,
            is_live=asked.known is not None and asked.known.is_live(asked.question.operation),
        )

    async def _code(self, api: Api) -> str:
        """What an answer depends on besides data."""
        if not self._code_version:
            self._code_version = await in_worker(lambda: code_version(api.schema.as_str()))
        return self._code_version

    async def _tag(self, api: Api, known: Known, question: Question, caller: Caller) -> str:
        """The tag that the answer will have; empty where only the answer itself tells."""
        reach = known.reach
        if reach.is_volatile or any(one.source is None for one in reach.entities.values()):
            return ""
        if known.rests_on is None:
            entities = dict(reach.entities)
            for entity in reach.filtered.values():
                entities |= {each.model: each for each in api.catalog.related_to(entity)}
            known.rests_on = tuple(entities.values())
        versions = await self._watch.now()
        return tag_of(
            await self._code(api),
            question.text,
            _canonical(question.variables),
            question.operation or "",
            caller.role,
            # Another time's rows may change where the present ones do not: by an import.
            versions.of(known.rests_on, with_lineage=reach.has_lineage or AS_OF in question.text),
        )


async def _is_for_here(scope: Scope, headers: Headers) -> bool:
    """Whether the door answers; what is refused, or asks for a page, is Django's."""
    if (
        scope["type"] != "http"
        or scope["path"] != PATH
        or scope.get("root_path")
        or scope["method"] not in ("GET", "POST")
    ):
        return False
    if scope["method"] == "GET" and not scope["query_string"]:
        return False
    if scope["method"] == "POST" and (not is_json(headers) or b"content-encoding" in headers):
        return False
    if not lane.is_allowed(headers.get(b"host", b"")) or not is_own_site(scope):
        return False
    return (await caller_of(scope)).may(READ)


async def _received(receive: Receive) -> list[Message]:
    """The messages that a request's body comes in. Raises `QuestionTooLarge`."""
    messages, size = list[Message](), 0
    while True:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if size > MAX_BODY:
            raise QuestionTooLarge(f"A question has at most {MAX_BODY} bytes; this one has more.")
        if not message.get("more_body"):
            return messages


def _is_refused(api: Api, known: Known, question: Question, caller: Caller) -> bool:
    """Whether the ordinary path will refuse it: that one tells why."""
    variables = dict(question.variables)
    if bound(known, question.operation, variables) is not None:
        return True
    return api.visibility.refusal(caller, known, variables) is not None


def _canonical(variables: Any) -> bytes:
    try:
        return orjson.dumps(variables, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Integers beyond 64 bits.
        return repr(sorted(variables.items())).encode()


def _takes_json(headers: Headers) -> bool:
    accepted = headers.get(b"accept", b"*/*")
    return any(each in accepted for each in (b"*/*", b"application/json", EVENTS.encode()))


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError  # nobody sets it
