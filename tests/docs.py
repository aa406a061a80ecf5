"""The pages in ``docs/`` as the tests read them: their code blocks, headings and links.

The definitions and cases of a page are files of one folder, named as ``docs/README.md``
tells the reader to name them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.rehearsal.case import parse_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.rehearsal.case import Case

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FEATURES = DOCS / "features"
#: Commands that need nothing but files, and those that need the record of a run alone.
OFFLINE = ("steploom validate ", "steploom rehearse ")
OF_THE_RECORD = ("steploom explain ", "steploom definitions ")

_BLOCK = re.compile(r"^```([\w-]*)[ ]?([\w ]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block. ``mark`` is what follows its language: ``definition``, ``steps``, ``case``."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def place(self) -> str:
        """Where it is, for the name of a test."""
        return f"{self.page.relative_to(DOCS)}:{self.line}"


def pages() -> list[Path]:
    """Every page, by name; those of single features last."""
    return [*sorted(DOCS.glob("*.md")), *sorted(FEATURES.glob("*.md"))]


def feature_pages() -> list[Path]:
    """The pages that each tell of one feature."""
    return sorted(FEATURES.glob("*.md"))


def blocks(language: str, mark: str | None = None) -> list[Block]:
    """The code blocks of all pages in a language, and with a mark if one is given."""
    found = [block for page in pages() for block in _blocks(page)]
    return [
        block
        for block in found
        if block.language == language and (mark is None or block.mark == mark)
    ]


def definitions(page: Path, *marks: str) -> dict[str, Any]:
    """The whole definitions of a page by the names of their files.

    ``order.json`` is the first one with the id ``order``, ``order-1.1.0.json`` that version of it.
    ``marks`` are those of the blocks, ``definition`` if none is given.
    """
    files: dict[str, Any] = {}
    for block in _blocks(page):
        if block.language == "json" and block.mark in (marks or ("definition",)):
            document = json.loads(block.text)
            files.setdefault(f"{document['workflowId']}.json", document)
            files[f"{document['workflowId']}-{document['version']}.json"] = document
    return files


def written_cases(page: Path) -> list[dict[str, Any]]:
    """The cases of a page as they stand there; a ``definition`` may be the name of a file."""
    written: list[dict[str, Any]] = []
    for block in _blocks(page):
        if (block.language, block.mark) == ("json", "case"):
            value = json.loads(block.text)
            written += value if isinstance(value, list) else [value]
    return written


def cases_file(page: Path) -> str:
    """The name of the file that holds the cases of a page."""
    return f"{page.stem}-cases.json"


def page_cases(page: Path) -> list[Case]:
    """The cases of a page, their definitions put in."""
    files = definitions(page)
    found = []
    for value in written_cases(page):
        document = value["definition"]
        whole = files[document] if isinstance(document, str) else document
        found.append(parse_case({**value, "definition": whole}))
    return found


def cases() -> list[tuple[str, Case]]:
    """Every case of the docs with the name of its place, to be rehearsed on any host."""
    return [
        (f"{page.relative_to(DOCS)}: {case.name}", case)
        for page in pages()
        for case in page_cases(page)
    ]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, match[1], match[2], match[3])


@dataclass(frozen=True, slots=True)
class Shown:
    """A command in a console block, without its ``$``, with what stands below it."""

    place: str
    command: str
    printed: str


def shown(page: Path) -> list[Shown]:
    """Every command of a page, in order."""
    found: list[Shown] = []
    for block in _blocks(page):
        if block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, printed = part.partition("\n")
                found.append(Shown(block.place, command, printed))
    return found


def write_files(page: Path, folder: Path) -> None:
    """Writes the definitions and the cases of a page as its reader would save them."""
    for name, document in definitions(page, "definition", "broken").items():
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
    (folder / cases_file(page)).write_text(json.dumps(written_cases(page)), encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What a link can name behind ``#``, as GitHub makes it of the headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    }
