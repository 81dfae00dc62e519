"""The links of an HTML page, as a visitor may follow them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx

from raw_store.errors import BodyUnreadable

from .scope import absolute

if TYPE_CHECKING:
    from ..response import Response

_MOST = 20_000
"""Links of one page; no page for people has more."""


def page_links(response: "Response") -> Iterator[str]:
    """The addresses that a page links to, each once; none for what is no HTML.

    `<base href>` is heard; `rel="nofollow"` and `<meta name="robots" content="nofollow">` are
    obeyed.
    """
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("text/html", "application/xhtml+xml", ""):
        return
    from raw_store.parsing import html_body

    try:
        tree = html_body.parse(response.text)
    except BodyUnreadable:
        # The page is archived; what it links to, nobody can say.
        return
    for robots in tree.css("meta[name]"):
        said = (robots.attributes.get("content") or "").lower()
        if (robots.attributes.get("name") or "").lower() == "robots" and "nofollow" in said:
            return
    base = response.url
    first = tree.css_first("base[href]")
    if first is not None and (stated := absolute(base, first.attributes.get("href") or "")):
        base = httpx.URL(stated)
    seen: set[str] = set()
    for node in tree.css("a[href], area[href]"):
        if "nofollow" in (node.attributes.get("rel") or "").lower().split():
            continue
        found = absolute(base, node.attributes.get("href") or "")
        if found and found not in seen:
            seen.add(found)
            yield found
            if len(seen) == _MOST:
                return
