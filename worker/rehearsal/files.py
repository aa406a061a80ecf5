"""Which files are case files: a folder may hold definitions and their rehearsals side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.errors import InvalidInputError
from definitions.jsongate import JsonGateError, loads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Of a case's members those that nothing else with a ``definition`` has all of, a start among them.
_TELLING = ("name", "tasks", "actions", "expect")


def json_below(folder: Path) -> list[Path]:
    """All ``*.json`` below a folder, in the order of their names, hidden ones left out."""
    return sorted(
        file
        for file in folder.rglob("*.json")
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def find_case_files(paths: Sequence[Path]) -> list[Path]:
    """The files to rehearse, each once: those that are named, and all case files below folders.

    Raises:
        InvalidInputError: One is not there, or a folder has no case file.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            files = [file for file in json_below(path) if is_case_file(file)]
            if not files:
                raise InvalidInputError(
                    f"there is no case file below {path}",
                    hint="name a file, or another folder; a case has `name`, `definition` and "
                    "`expect`",
                )
        elif path.exists():
            files = [path]
        else:
            raise InvalidInputError(f"there is no file {path}", hint="check the path")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def is_case_file(file: Path) -> bool:
    """Whether a file that was come across is meant to be a case file, a broken one included."""
    try:
        text = file.read_bytes()
    except OSError:
        return False
    # Most files need no parsing to be told apart, and large ones are slow to parse.
    if b'"definition"' not in text:
        return False
    try:
        value = loads(text)
    except JsonGateError:
        return b'"expect"' in text
    return any(map(_is_case, value if isinstance(value, list) else [value]))


def _is_case(value: Any) -> bool:
    if not isinstance(value, dict) or "steps" in value:
        return False
    return "definition" in value and any(name in value for name in _TELLING)
