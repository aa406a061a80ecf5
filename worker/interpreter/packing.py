"""The state as it travels: a value that stands in several places is written once.

What a step gives out is kept under its id and merged into ``data``, which branches copy; in memory
all of these are one object. Written out plainly they would be many, and a run that continues as a
new one hands on everything at once. So a value that stands a second time is written as
``{"$same": POINTER}``, the JSON pointer of its first place. An object of the run's own that has a
member ``$same`` is written as ``{"$same": null, "of": OBJECT}``.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from definitions.outputs import json_size
from worker.interpreter.state import dump_state, load_state

if TYPE_CHECKING:
    from definitions.jsontypes import Json
    from worker.interpreter.state import RunState

_SAME = "$same"
#: A value that is shorter as JSON (in bytes) is written again: a pointer has about that length.
_WORTH = 100


def pack_state(state: RunState) -> dict[str, Any]:
    """The state as JSON values."""
    holder = {"": dump_state(state)}
    _Packer().pack(state, holder, "", "")
    packed: dict[str, Any] = holder[""]
    return packed


def unpack_state(packed: Json) -> RunState:
    """The state from what ``pack_state`` gave; what was one object is one again.

    Raises:
        ValueError: It is no state (pydantic's own error is one as well).
    """
    unpacked = _marked(packed)
    _fill(unpacked, unpacked)
    return load_state(unpacked)


def packed_size(state: RunState) -> int:
    """How many bytes the state has when it travels."""
    return json_size(pack_state(state))


class _Packer:
    """One walk through a state and, in step, through its JSON values."""

    def __init__(self) -> None:
        #: Where each object was first, by its identity: everything is alive during the walk. Texts
        #: go by themselves, for equal ones are the same in JSON too (1, 1.0 and true are not).
        self._first: dict[int | str, str] = {}

    def pack(self, live: Any, parent: Any, key: Any, pointer: str) -> None:
        """Packs what stands in ``parent[key]``, whose live form is ``live``."""
        if is_dataclass(live):
            for one in fields(live):
                self.pack(getattr(live, one.name), parent[key], one.name, f"{pointer}/{one.name}")
            return
        if not isinstance(live, (str, dict, list)) or not live:
            return
        if isinstance(live, str):
            if len(live) >= _WORTH:
                self._seen(live, parent, key, pointer)
            return
        if self._seen(live, parent, key, pointer):
            return
        members = live.items() if isinstance(live, dict) else enumerate(live)
        for name, value in members:
            self.pack(value, parent[key], name, f"{pointer}/{_escaped(name)}")
        if isinstance(live, dict) and _SAME in live:
            parent[key] = {_SAME: None, "of": parent[key]}

    def _seen(self, live: Any, parent: Any, key: Any, pointer: str) -> bool:
        first = self._first.setdefault(live if isinstance(live, str) else id(live), pointer)
        if first == pointer or json_size(parent[key]) < _WORTH:
            return False
        parent[key] = {_SAME: first}
        return True


def _escaped(name: str | int) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


class _Same:
    """Stands where a value is still to be put that stands elsewhere as well."""

    def __init__(self, pointer: Json) -> None:
        if not isinstance(pointer, str):
            raise ValueError(f"{_SAME} is no pointer")  # noqa: TRY004 (the one error that is told)
        self.parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]

    def find(self, root: Json) -> Json:
        found = root
        try:
            for part in self.parts:
                found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, TypeError, ValueError):
            found = self
        if isinstance(found, _Same):
            where = "/".join(self.parts)
            raise ValueError(f"nothing stands at /{where}")  # noqa: TRY004 (as declared)
        return found


def _marked(value: Json) -> Json:
    """A copy with a mark in the place of each pointer."""
    if isinstance(value, list):
        return [_marked(one) for one in value]
    if not isinstance(value, dict):
        return value
    if _SAME in value:
        if value[_SAME] is not None:
            return _Same(value[_SAME])
        value = value.get("of")
        if not isinstance(value, dict):
            raise ValueError(f"{_SAME} is null, and there is no object")
    return {name: _marked(one) for name, one in value.items()}


def _fill(value: Json, root: Json) -> None:
    """Puts in the place of each mark what it stands for."""
    if not isinstance(value, (dict, list)):
        return
    for name, one in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(one, _Same):
            value[name] = one.find(root)
        else:
            _fill(one, root)
