"""Writes the parts of the docs that are made from the code, between their markers.

``python docs/generate.py`` brings them up to date, ``python docs/generate.py --check`` says which
are not. A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from generated.columns import columns
from generated.commands import commands
from generated.fields import catalogue_fields, document_fields, start_fields
from generated.polyglot import catalogue, go_worker
from generated.problems import catalogue_codes, document_codes, gate_codes, value_codes
from generated.providers import provider_limits
from generated.settings import settings
from generated.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

#: Every part, by its name in the markers.
PARTS: dict[str, Callable[[], str]] = {
    "document-fields": document_fields,
    "start-fields": start_fields,
    "catalogue-fields": catalogue_fields,
    "catalogue": catalogue,
    "go-worker": go_worker,
    "catalogue-codes": catalogue_codes,
    "gate-codes": gate_codes,
    "document-codes": document_codes,
    "value-codes": value_codes,
    "settings": settings,
    "metrics": metrics,
    "columns": columns,
    "provider-limits": provider_limits,
    "commands": commands,
}


def regenerated(text: str, seen: set[str]) -> str:
    """A page with its parts made anew. Their names are added to ``seen``."""

    def made(match: re.Match[str]) -> str:
        head, name, _, tail = match.groups()
        seen.add(name)
        return f"{head}\n{PARTS[name]().strip()}\n\n{tail}"

    return _PART.sub(made, text)


def main() -> int:
    """0, or 1 where ``--check`` found a page that is out of date."""
    parser = argparse.ArgumentParser(
        description="Brings the generated parts of the docs up to date."
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if it would")
    check = parser.parse_args().check
    stale: list[str] = []
    seen: set[str] = set()
    for page in sorted(HERE.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        made = regenerated(text, seen)
        if made != text:
            stale.append(page.name)
            if not check:
                page.write_text(made, encoding="utf-8")
    if missing := sorted(set(PARTS) - seen):
        sys.stderr.write(f"no page has the parts: {', '.join(missing)}\n")
        return 1
    for name in stale:
        sys.stderr.write(f"{name} {'is out of date' if check else 'was brought up to date'}\n")
    if stale and check:
        sys.stderr.write("run: python docs/generate.py\n")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
