"""The worker in Go and its catalogue: the very files that the tests compile, run and read."""

from __future__ import annotations

from pathlib import Path

_WORKER = Path(__file__).parents[2] / "tests" / "workflows" / "goworker"


def go_worker() -> str:
    """The whole program."""
    return f"```go\n{(_WORKER / 'main.go').read_text(encoding='utf-8').strip()}\n```"


def catalogue() -> str:
    """The file that declares its task."""
    text = (_WORKER / "catalogue.json").read_text(encoding="utf-8").strip()
    return f"```json catalogue\n{text}\n```"
