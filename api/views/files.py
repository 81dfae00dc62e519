"""The few files the pages need, served as they are: uvicorn has no web server in front.

Some are stored compressed and sent so to whoever reads gzip, which is every browser.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

_FOLDER = Path(__file__).resolve().parent.parent / "static" / "api"
_KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


@require_safe
def static_file(request: HttpRequest, name: str) -> HttpResponse:
    """Serve one of the files below `static/api`; there are no others."""
    path = _files().get(name)
    if path is None:
        raise Http404(f"There is no file {name}.")
    body = _read(path)
    is_compressed = path.suffix == ".gz"
    reads_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    if is_compressed and not reads_gzip:
        body = gzip.decompress(body)
    response = HttpResponse(body, content_type=_KINDS[Path(name).suffix])
    if is_compressed:
        response["Vary"] = "Accept-Encoding"
        if reads_gzip:
            response["Content-Encoding"] = "gzip"
    # The pages ask with the digest of all files in the address: see `version()`.
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    response["X-Content-Type-Options"] = "nosniff"
    return response


@cache
def version() -> str:
    """A digest of all the files: what makes an address new when a file changes."""
    digest = hashlib.sha256()
    for name, path in sorted(_files().items()):
        digest.update(name.encode() + _read(path))
    return digest.hexdigest()[:12]


@cache
def _files() -> dict[str, Path]:
    """What may be asked for, by name; a name that is not here leads nowhere."""
    found = [path for path in _FOLDER.rglob("*") if path.is_file()]
    names = {path.relative_to(_FOLDER).as_posix().removesuffix(".gz"): path for path in found}
    return {name: path for name, path in names.items() if Path(name).suffix in _KINDS}


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()
