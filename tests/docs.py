"""The pages in ``docs/`` as the tests read them: their code blocks, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"^```([\w-]*)[ ]?([\w ]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block. ``mark`` is what follows its language: ``definition``, ``steps``, ``start``."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def place(self) -> str:
        """Where it is, for the name of a test."""
        return f"{self.page.name}:{self.line}"


def pages() -> list[Path]:
    """Every page, by name."""
    return sorted(DOCS.glob("*.md"))


def blocks(language: str, mark: str | None = None) -> list[Block]:
    """The code blocks of all pages in a language, and with a mark if one is given."""
    found = [block for page in pages() for block in _blocks(page)]
    return [
        block
        for block in found
        if block.language == language and (mark is None or block.mark == mark)
    ]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, match[1], match[2], match[3])


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What a link can name behind ``#``, as GitHub makes it of the headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    }
