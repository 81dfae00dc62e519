"""The records of one fetch, brought together: response, request, and what else belongs to it.

Records say by WARC-Concurrent-To what they belong to, in either direction and order; those that say
nothing belong to a neighbour with the same address. Only so many groups wait at a time.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..pages import LARGEST_BODY
from ..segments import SPOOLED_FROM
from ..spool import Spool
from .arrivals import SCRATCH
from .http import LONGEST_HEAD, Head, parse_head
from .warc_files import Content, size_of
from .warc_records import Digest, Record

WAITING_GROUPS = 64
WAITING_BYTES = 64 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Part:
    """One record, read."""

    kind: str
    """`main` for response, revisit and resource; else the record's type."""
    type: str
    id: str
    where: str
    get: Callable[[str], str | None]
    """The first header of that name (given in lower case)."""
    links: list[str]
    """The ids of the records it belongs to."""
    head: Head | None
    """Of the HTTP message, where the record holds one."""
    content: Content
    """What follows the head, or the whole block."""
    is_cut: bool = False
    """Whether it is longer than an archive can hold."""
    problem: str | None = None
    """What is wrong with the digest of its block."""
    doubt: Digest | None = None
    """The digest of its payload, where that is not what the record holds as it is."""

    @property
    def uri(self) -> str:
        """The address; some programs write it in angle brackets, as 1.0 has it by mistake."""
        found = (self.get("warc-target-uri") or "").strip()
        is_bracketed = found.startswith("<") and found.endswith(">")
        return found[1:-1] if is_bracketed else found


@dataclass(slots=True)
class Group:
    """The records of one fetch."""

    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def main(self) -> Part | None:
        return self.parts.get("main")

    @property
    def size(self) -> int:
        return sum(_in_memory(part.content) for part in self.parts.values())


class Groups:
    """Groups in the order they began, while more of their records may come."""

    def __init__(self) -> None:
        self._groups: OrderedDict[int, Group] = OrderedDict()
        self._by_id: dict[str, int] = {}
        self._next = 0
        self._size = 0
        self._last: int | None = None

    def knows(self, links: list[str]) -> bool:
        """Whether a group waits that has one of these records."""
        return any(link in self._by_id for link in links)

    def add(self, part: Part) -> Iterator[Group]:
        """Put a record where it belongs; give the groups that need to wait no longer."""
        key = self._find(part)
        if key is None:
            key, self._next = self._next, self._next + 1
            self._groups[key] = Group()
        self._groups[key].parts[part.kind] = part
        self._size += _in_memory(part.content)
        for identity in (part.id, *part.links):
            if identity:
                self._by_id[identity] = key
        self._last = key
        if part.kind == "metadata":
            # Written last of a fetch's records.
            yield self._take(key)
        while len(self._groups) > WAITING_GROUPS or self._size > WAITING_BYTES:
            yield self._take(next(iter(self._groups)))

    def __len__(self) -> int:
        return len(self._groups)

    def rest(self, *, is_whole: bool, needs_metadata: bool = False) -> Iterator[Group]:
        """The groups that wait at the end of a file; of one that is cut off not the last if more
        of its records may have been lost."""
        enough = {"metadata"} if needs_metadata else {"main", "request"}
        while self._groups:
            key = next(iter(self._groups))
            group = self._take(key)
            if is_whole or key != self._last or enough <= set(group.parts):
                yield group

    def _find(self, part: Part) -> int | None:
        for identity in (part.id, *part.links):
            key = self._by_id.get(identity)
            if key is not None and key in self._groups and self._is_free(key, part):
                return key
        if (
            self._last is not None
            and self._last in self._groups
            and part.kind in ("main", "request")
        ):
            neighbour = self._groups[self._last]
            beside = neighbour.parts.get("request" if part.kind == "main" else "main")
            if (
                part.kind not in neighbour.parts
                and beside
                and beside.uri == part.uri
                and not (beside.links or part.links)
            ):
                return self._last
        return None

    def _is_free(self, key: int, part: Part) -> bool:
        return part.kind not in self._groups[key].parts

    def _take(self, key: int) -> Group:
        group = self._groups.pop(key)
        self._size -= group.size
        for part in group.parts.values():
            for identity in (part.id, *part.links):
                if self._by_id.get(identity) == key:
                    del self._by_id[identity]
        return group


def _in_memory(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else 0


def read_part(record: Record, kind: str, *, is_http: bool) -> Part:
    """Read a record's block, the head of an HTTP message apart, and check its digests.

    A block that is long goes to a file; one longer than an archive can hold is cut.
    """
    of_block = Digest.parse(record.get("warc-block-digest"))
    of_payload = Digest.parse(record.get("warc-payload-digest"))
    block_hasher = of_block and of_block.hasher()
    payload_hasher = of_payload and of_payload.hasher()
    begun = b""
    while len(begun) < min(LONGEST_HEAD, record.length) if is_http else False:
        if parse_end(begun):
            break
        begun += record.read()
    head = parse_head(begun) if is_http else None
    rest = begun[head.size :] if head else begun
    if block_hasher:
        block_hasher.update(begun)

    def pieces() -> Iterator[bytes]:
        if payload_hasher:
            payload_hasher.update(rest)
        yield rest
        for piece in record.pieces():
            if block_hasher:
                block_hasher.update(piece)
            if payload_hasher:
                payload_hasher.update(piece)
            yield piece

    given = pieces()
    length = record.length - (head.size if head else 0)
    content: Content
    if length < SPOOLED_FROM:
        content = b"".join(given)
    else:
        content = Spool.of(_first(LARGEST_BODY, given), SCRATCH)
        for _ in given:
            pass
    part = Part(
        kind=kind,
        type=record.type,
        id=record.id,
        where=record.where,
        get=record.get,
        links=_links(record, kind),
        head=head,
        content=content,
        is_cut=size_of(content) < length,
    )
    if of_block and block_hasher and not of_block.is_of(block_hasher):
        part.problem = f"digest: the block is not that of {record.get('warc-block-digest')}"
    # A revisit's is the digest of the payload it stands for.
    if of_payload and payload_hasher and record.type != "revisit":
        part.doubt = None if of_payload.is_of(payload_hasher) else of_payload
    return part


def _links(record: Record, kind: str) -> list[str]:
    names = ["warc-concurrent-to"]
    if kind in ("conversion", "metadata"):
        names.append("warc-refers-to")
    return [each.strip().strip("<>") for each in record.get_all(*names)]


def parse_end(begun: bytes) -> bool:
    """Whether the head of a message is there whole."""
    return b"\n\r\n" in begun or b"\n\n" in begun or begun.startswith((b"\r\n", b"\n"))


def _first(count: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if len(piece) >= count:
            yield piece[:count]
            return
        count -= len(piece)
        yield piece
