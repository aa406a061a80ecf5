"""Names for JSON values in type hints."""

from __future__ import annotations

from typing import Any, TypeAlias

#: Any JSON value as ``json.loads`` gives it. ``Any`` on purpose: a recursive alias would make every
#: reader of a document narrow at each level, and the values come checked from the JSON gate.
Json: TypeAlias = Any
JsonObject: TypeAlias = dict[str, Any]
