"""What must not be stored: by the names of members, and by the values of secrets.

Pure. A redactor knows names from the settings, and values from whoever has resolved secrets.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from definitions.jsontypes import Json

#: What stands where something was taken out.
REDACTED = "[redacted]"
#: Secrets that are shorter are not looked for: they would be found in every other word.
SHORTEST = 4
#: So long is what base64 shows of a secret in the midst of other bytes, or it is not looked for.
_SHORTEST_PART = 8
_URL_SAFE = str.maketrans("+/", "-_")
#: Members whose values are never stored, written in any case, with or without - and _.
DEFAULT_KEYS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "client_secret",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "api_key",
    "private_key",
    "authorization",
    "proxy_authorization",
    "cookie",
    "set_cookie",
    "credit_card",
    "card_number",
    "cvv",
    "cvc",
)


class Redactor:
    """Takes out of values what must not be stored.

    Args:
        keys: The names of members whose values go, however they are written.
    """

    def __init__(self, keys: Iterable[str] = DEFAULT_KEYS) -> None:
        self._keys = frozenset(map(_plain, keys))
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, values: Iterable[str]) -> None:
        """Adds values of secrets; they are found in their usual encodings, too."""
        forms = {form for value in values for form in _forms(value) if len(form) >= SHORTEST}
        if forms <= self._values:
            return
        self._values |= forms
        # The longest first, so that of two that begin alike nothing is left over.
        ordered = sorted(self._values, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def text(self, text: str) -> str:
        """A text without any known secret."""
        return text if self._pattern is None else self._pattern.sub(REDACTED, text)

    def without_secrets(self, value: Json) -> Json:
        """A value without any known secret; names do not matter. The same object if it had none."""
        return value if self._pattern is None else self._walk(value, by_key=False)

    def stored(self, value: Json) -> Json:
        """A value as it may be stored: without secrets, and without what its names give away."""
        return self._walk(value, by_key=True)

    def hides(self, name: str) -> bool:
        """Whether the values of members with this name are not stored."""
        return _plain(name) in self._keys

    def _walk(self, value: Any, *, by_key: bool) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self._object(value, by_key=by_key)
        if isinstance(value, list):
            items = [self._walk(item, by_key=by_key) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else items
        return value

    def _object(self, value: dict[str, Any], *, by_key: bool) -> dict[str, Any]:
        result: dict[str, Any] = {}
        same = True
        for key, member in value.items():
            name = self.text(key)
            hidden = by_key and member is not None and self.hides(key)
            kept = REDACTED if hidden else self._walk(member, by_key=by_key)
            same = same and kept is member and name is key
            result[name] = kept
        return value if same else result


def make_redactor(more_keys: Iterable[str]) -> Redactor:
    """The redactor of a process: it knows the usual names, and these."""
    return Redactor([*DEFAULT_KEYS, *more_keys])


def has_redacted(value: Json) -> bool:
    """Whether something was taken out of a value that was stored."""
    if isinstance(value, str):
        return REDACTED in value
    if isinstance(value, dict):
        return any(map(has_redacted, value.values()))
    return isinstance(value, list) and any(map(has_redacted, value))


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").casefold()


def _forms(value: str) -> set[str]:
    """A secret as it may turn up: as it is, quoted (in JSON, also twice), in a URL, in base64."""
    data = value.encode("utf-8", "surrogatepass")
    forms = {value, repr(value)[1:-1], quote(data, safe=""), quote_plus(data)}
    for ascii_only in (True, False):
        once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        forms |= {once, json.dumps(once, ensure_ascii=ascii_only)[1:-1]}
    whole = b64encode(data).decode()
    forms |= {whole, whole.translate(_URL_SAFE)}
    # Behind something else, as behind a user's name, it begins in the midst of a group.
    for shift, skipped in ((0, 0), (1, 2), (2, 3)):
        groups, rest = divmod(shift + len(data), 3)
        end = groups * 4 + (0, 1, 2)[rest]
        part = b64encode(bytes(shift) + data).decode()[skipped:end]
        if len(part) >= _SHORTEST_PART:
            forms |= {part, part.translate(_URL_SAFE)}
    return forms
