"""What a command prints: its result on stdout, everything else on stderr.

A machine format (``json``, ``jsonl``, ``yaml``) leaves nothing but the result on stdout. Without a
terminal, tables are as wide as they need to be and carry no colours; ``NO_COLOR`` is kept by rich.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Columns where there is no terminal whose width could be asked for.
_WIDTH = 240


class Format(StrEnum):
    """The formats of ``--output``."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's result goes, and in which format."""

    format: Format = Format.TABLE

    @property
    def machine(self) -> bool:
        """Whether a program reads the result."""
        return self.format is not Format.TABLE

    def result(self, value: Any, show: Callable[[], RenderableType | None]) -> None:
        """Prints the one result of a command.

        Args:
            value: The result as JSON values.
            show: The result for people: text as it is, or something of rich's.
        """
        match self.format:
            case Format.TABLE:
                shown = show()
                if isinstance(shown, str):
                    _write(shown)
                elif shown is not None:
                    show_on(stdout(), shown)
            case Format.JSON:
                _write(json.dumps(value, indent=2, ensure_ascii=not _is_utf8()))
            case Format.JSONL:
                _write(json.dumps(value, ensure_ascii=not _is_utf8()))
            case Format.YAML:
                _write(_yaml(value))

    def results(
        self, values: Sequence[Any], show: Callable[[], RenderableType | None], *, whole: Any = None
    ) -> None:
        """Prints a list of results; as ``jsonl`` each on a line of its own.

        Args:
            values: The results as JSON values.
            show: All of them for people.
            whole: What ``json`` and ``yaml`` print, where that is more than the list.
        """
        if self.format is Format.JSONL:
            for value in values:
                self.result(value, show)
            return
        self.result(list(values) if whole is None else whole, show)

    def change(self, value: Any, text: str) -> None:
        """Tells one change of something that is being watched.

        A line on stdout, in each format: for ``json`` the line is an object, as for ``jsonl``.
        """
        match self.format:
            case Format.TABLE:
                _write(text)
            case Format.YAML:
                _write("---\n" + _yaml(value))
            case Format.JSON | Format.JSONL:
                _write(json.dumps(value, ensure_ascii=not _is_utf8()))


def notice(text: str) -> None:
    """Tells a person something that is not the result, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def stdout() -> Console:
    """A console for results."""
    return _console(stderr=False)


def stderr() -> Console:
    """A console for progress."""
    return _console(stderr=True)


def show_on(console: Console, shown: RenderableType) -> None:
    """Prints something of rich's; without a terminal, less the blanks that fill its lines."""
    if console.is_terminal:
        console.print(shown)
        return
    with console.capture() as captured:
        console.print(shown)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    console.file.flush()


def _console(*, stderr: bool) -> Console:
    from rich.console import Console  # noqa: PLC0415 (machine formats don't need it)

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH
    return Console(
        stderr=stderr, width=width, highlight=False, emoji=False, soft_wrap=not stream.isatty()
    )


def _write(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _yaml(value: Any) -> str:
    import yaml  # noqa: PLC0415 (only for this format)

    dumped: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=_is_utf8(), width=1000)
    return dumped.removesuffix("...\n")
