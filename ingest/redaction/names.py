"""Names that speak of a secret, and shapes that are one under any name."""

import re
from collections.abc import Iterable
from typing import Literal

from .rules import Secrets

Sort = Literal["secret", "ambiguous"]
"""`secret`: always one. `ambiguous`: masked too, but may be a plain argument."""

# Compared in lower case, without hyphens and underscores. These never tell two requests apart: a
# new token asks for the same thing.
_SECRET_NAMES = frozenset(
    """
    accesskey accesstoken accountkey apikey apipass apipassword apisecret apitoken appkey
    applicationkey appsecret assertion authkey authorization authtoken awssecretaccesskey
    bearertoken binarysecuritytoken actortoken clientassertion clientsecret codeverifier
    connectionstring consumersecret credential credentials developerkey devicecode devkey
    encryptionkey hmac idtoken jwt jwttoken licensekey logintoken masterkey mfacode oauthsignature
    oauthtoken oauthtokensecret oauthverifier otp passphrase passwd passwort password
    personalaccesstoken privatekey privatetoken pwd refreshtoken registrationkey samlart samlrequest
    samlresponse sas secret secretaccesskey secretkey securitytoken servicekey sessionkey
    sessiontoken sharedaccesskey sharedaccesssignature sharedsecret sig signature signingkey
    subjecttoken subscriptionkey totp usercode userkey webhooksecret wskey xamzcredential
    xamzsecuritytoken xamzsignature xapikey xapitoken xauthtoken xaccesstoken xcsrftoken
    xgoogcredential xgoogsignature xossaccesskeyid xosssignature
    """.split()  # noqa: SIM905
)
# Masked, yet part of what tells two requests apart: `key=iron-ore` and `key=tin-ore` are two pages.
_AMBIGUOUS_NAMES = frozenset(
    """
    accesskeyid appid auth bearer code csrf hash jsessionid key passcode pass phpsessid pin session
    sessionid sid sign ticket token xsrf
    """.split()  # noqa: SIM905
)
_AMBIGUOUS_ENDINGS = (
    "apikey", "accesskey", "credential", "credentials", "passphrase", "privatekey", "secret",
    "secretkey", "signature", "token",
)  # fmt: skip
_AMBIGUOUS_PARTS = ("password", "passwd")
# Where a listing goes on; what an extractor must be able to read in the archive.
_PAGING = re.compile(
    r"(after|before|continuation|cursor|delta|end|next|nextpage|page|pagination|resume|resumption"
    r"|scroll|skip|start|sync)token$"
)
_LAST = re.compile(r"[\[\]:.$;/?#!\s]+")
_NUMBER = re.compile(r"\d{1,2}$")
_FILLER = str.maketrans("", "", "-_ ")

_SECRET_HEADER = re.compile(
    r"auth(?!enticate|or(?!iz|is))|token|secret|passw|api-?key|access-?key|subscription-key"
    r"|app(?:lication)?-?key|functions-key|credential|session|signature|^x-.*-key$|^key$|csrf|xsrf"
    r"|jwt|assertion|bearer|otp$|^x-.*-(?:code|pin|pass|ticket|sas)$",
    re.IGNORECASE,
)
_PLAIN_HEADER = re.compile(r"access-control-|x-ratelimit-|ratelimit|sec-websocket-", re.IGNORECASE)

_HINTS = (
    "eyJ", "gh", "glpat-", "xox", "sk_", "sk-", "rk_", "AIza", "ya29.", "AKIA", "ASIA", "SG.",
    "npm_", "pypi-", "shp", "dop_v1_", "/bot", "hooks.", "webhooks/", "PRIVATE KEY",
)  # fmt: skip
# A group, where there is one, is the secret; otherwise all of the match is.
_SHAPES = re.compile(
    r"""
      \beyJ[\w-]{8,}\.[\w-]{2,}\.[\w-]*(?:\.[\w-]*){0,2}      # JWS and JWE, RFC 7515 and 7516
    | \bgh[opsur]_\w{20,}  | \bgithub_pat_\w{20,} | \bglpat-[\w-]{16,}
    | \bxox[a-z]-[\w-]{10,} | \b[rs]k_(?:live|test)_\w{10,} | \bsk-[\w-]{20,}
    | \bAIza[\w-]{30,}      | \bya29\.[\w.-]{10,}           | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
    | \bSG\.[\w-]{16,}\.[\w-]{16,} | \bnpm_\w{30,} | \bpypi-[\w-]{30,}
    | \bshp(?:at|ca|pa|ss)_\w{20,} | \bdop_v1_\w{30,}
    | (?<=/bot)(?P<bot>\d{6,}:[\w-]{20,})
    | hooks\.slack\.com/(?:services|workflows|triggers)/(?P<slack>[\w/-]+)
    | /api/webhooks/\d+/(?P<discord>[\w-]{20,})
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----(?P<pem>.+?)-----END
    """,
    re.VERBOSE | re.DOTALL,
)


def shapes_in(text: str) -> Iterable["re.Match[str]"]:
    """Where a text holds what is a secret under any name."""
    # Asked of every header and address: a generator would take three times as long.
    for hint in _HINTS:
        if hint in text:
            return _SHAPES.finditer(text)
    return ()


class Names:
    """Which names speak of a secret: those known everywhere, and those of a feed's rules."""

    def __init__(self, rules: Secrets, declared: Iterable[str], *, only_declared: bool = False):
        self._declared = {squashed(name) for name in declared}
        self._headers = {squashed(name) for name in rules.headers}
        self._keep = {squashed(name) for name in rules.keep}
        self._only_declared = only_declared
        self._sorts: dict[str, Sort | None] = {}
        self._known_headers: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._declared) or not self._only_declared

    def sort(self, name: str) -> Sort | None:
        """Whether a parameter or field of this name is a `secret`, `ambiguous`, or neither."""
        try:
            return self._sorts[name]
        except KeyError:
            if len(self._sorts) > 4_096:
                self._sorts.clear()
            found = self._sorts[name] = self._sort(name)
            return found

    def is_kept(self, name: str) -> bool:
        """Whether the rules say that this name is no secret."""
        return bool(self._keep) and squashed(name) in self._keep

    def is_secret_header(self, name: str) -> bool:
        """Whether all of a header of this name is a secret."""
        found = self._known_headers.get(name)
        if found is None:
            if len(self._known_headers) > 4_096:
                self._known_headers.clear()
            found = self._known_headers[name] = self._is_secret_header(name)
        return found

    def _is_secret_header(self, name: str) -> bool:
        if squashed(name) in self._headers:
            return True
        if self.is_kept(name) or _PLAIN_HEADER.match(name):
            return False
        return _SECRET_HEADER.search(name) is not None

    def _sort(self, name: str) -> Sort | None:
        # auth[password], user.password, wsse:Password and $password are passwords too.
        last = _LAST.split(name.rstrip("[]"))[-1]
        found = [squashed(name), squashed(last)]
        found.append(_NUMBER.sub("", found[1]))
        if any(each in self._keep for each in found):
            return None
        if any(each in self._declared for each in found):
            return "secret"
        if self._only_declared:
            return None
        if any(each in _SECRET_NAMES for each in found):
            return "secret"
        if any(_is_ambiguous(each) for each in found):
            return "ambiguous"
        return None


def _is_ambiguous(name: str) -> bool:
    if name in _AMBIGUOUS_NAMES or any(part in name for part in _AMBIGUOUS_PARTS):
        return True
    return name.endswith(_AMBIGUOUS_ENDINGS) and not _PAGING.search(name)


def squashed(name: str) -> str:
    """A name as names are compared: lower case, no hyphens, underscores or spaces."""
    return name.lower().translate(_FILLER)
