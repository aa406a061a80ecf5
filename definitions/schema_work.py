"""How much work a value makes for a schema, counted before the work is done.

A schema can apply the same part of itself to the same place again and again (``allOf`` with two
references to a part that does so too): thirty such lines are a thousand million checks, and nothing
can interrupt them. So the checks are counted first, by walking the value once with the number of
times that each part of the schema stands at each place. Schemas without references cannot repeat
themselves, and are not counted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

if TYPE_CHECKING:
    from definitions.jsontypes import Json, JsonObject

#: Checks of one part of a schema at one place.
MAX_WORK = 3_000_000

_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_IN_PLACE = ("not", "if", "then", "else")
_EACH_ITEM = ("items", "additionalItems", "unevaluatedItems", "contains")
_EACH_MEMBER = ("additionalProperties", "unevaluatedProperties")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

#: Parts of a schema by ``id``, with how often each applies. The schema outlives the count.
_Load: TypeAlias = "Counter[int]"


class _TooMuchError(Exception):
    pass


def too_much_work(schema: JsonObject, value: Json, limit: int = MAX_WORK) -> bool:
    """Whether checking a value takes more than ``limit`` steps. Both must have passed the gate."""
    counter = _Count(schema, limit)
    if not counter.refers:
        return False
    try:
        counter.run(value)
    except _TooMuchError:
        return True
    return False


class _Count:
    def __init__(self, schema: JsonObject, limit: int) -> None:
        self._root = schema
        self._left = limit
        self._parts: dict[int, Any] = {}
        self._anchors: dict[str, Any] = {}
        self._expanded: dict[frozenset[tuple[int, int]], _Load] = {}
        self._size = 0
        self.refers = self._index(schema)

    def _index(self, part: Json) -> bool:
        refers = False
        stack = [part]
        while stack:
            item = stack.pop()
            if isinstance(item, dict):
                self._size += 1
                refers = refers or any(key in item for key in _REFERENCES)
                for key in ("$anchor", "$dynamicAnchor", "$id", "id"):
                    if isinstance(name := item.get(key), str):
                        self._anchors[name.rpartition("/")[2].lstrip("#")] = item
                stack.extend(item.values())
            elif isinstance(item, list):
                stack.extend(item)
        return refers

    def run(self, value: Json) -> None:
        pending: list[tuple[_Load, Json]] = [(self._load([self._root]), value)]
        while pending:
            load, item = pending.pop()
            expanded = self._expand(load)
            if isinstance(item, dict):
                for key, member in item.items():
                    pending.append((self._below(expanded, key), member))
            elif isinstance(item, list):
                for index, member in enumerate(item):
                    pending.append((self._below(expanded, index), member))

    def _load(self, parts: list[Any], times: int = 1) -> _Load:
        found: _Load = Counter()
        for part in parts:
            if isinstance(part, dict):
                self._parts[id(part)] = part
                found[id(part)] += times
        return found

    def _expand(self, load: _Load) -> _Load:
        """Everything that applies at a place, once all that stays in place is followed."""
        key = frozenset(load.items())
        total = self._expanded.get(key)
        if total is not None:
            self._spend(total.total())
            return total
        total = Counter()
        wave = load
        # The library cuts a reference that comes back to its own place; no other way is longer
        # than there are parts.
        for _ in range(self._size):
            following: _Load = Counter()
            for part_id, times in wave.items():
                self._spend(times)
                total[part_id] += times
                following.update(self._load(self._in_place(self._parts[part_id]), times))
            wave = following
            if not wave:
                break
        self._expanded[key] = total
        return total

    def _in_place(self, part: JsonObject) -> list[Any]:
        found = [part[key] for key in _IN_PLACE if key in part]
        for key in _IN_PLACE_LISTS:
            members = part.get(key)
            if isinstance(members, list):
                found.extend(members)
        for key in ("dependentSchemas", "dependencies"):
            members = part.get(key)
            if isinstance(members, dict):
                found.extend(members.values())
        found.extend(self._target(part[key]) for key in _REFERENCES if key in part)
        return found

    def _target(self, reference: Json) -> Any:
        if not isinstance(reference, str):
            return None
        _, _, fragment = reference.partition("#")
        if not fragment:
            name = reference.rstrip("#").rpartition("/")[2]
            return self._anchors.get(name, self._root) if name else self._root
        if not fragment.startswith("/"):
            return self._anchors.get(fragment)
        return _follow(self._root, fragment)

    def _below(self, load: _Load, key: str | int) -> _Load:
        found: _Load = Counter()
        for part_id, times in load.items():
            part = self._parts[part_id]
            below = _member_parts(part, key) if isinstance(key, str) else _item_parts(part, key)
            found.update(self._load(below, times))
        return found

    def _spend(self, times: int) -> None:
        self._left -= times
        if self._left < 0:
            raise _TooMuchError


def _follow(root: Any, fragment: str) -> Any:
    found = root
    for raw in unquote(fragment).split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def _member_parts(part: JsonObject, key: str) -> list[Any]:
    properties = part.get("properties")
    patterns = part.get("patternProperties")
    found = [properties[key]] if isinstance(properties, dict) and key in properties else []
    named = bool(found)
    if isinstance(patterns, dict):
        # Counted whether they match or not.
        found.extend(patterns.values())
    if not named:
        found.extend(part[name] for name in _EACH_MEMBER if name in part)
    return found


def _item_parts(part: JsonObject, index: int) -> list[Any]:
    found = [part[name] for name in _EACH_ITEM if name in part]
    for name in ("prefixItems", "items"):
        members = part.get(name)
        if isinstance(members, list) and index < len(members):
            found.append(members[index])
    return found
