"""What ``rehearse`` tells programs: JSON, JSON lines, and the XML of JUnit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from tests.unit.cli import run
from tests.unit.rehearsed import BAD, BROKEN, GOOD, STUCK, write

if TYPE_CHECKING:
    from tests.unit.cli import Run

__all__ = ["run"]


def test_json(run: Run) -> None:
    """The whole report as one value, the same for the same cases but for the real time."""
    files = write("a.json", [GOOD, BAD, STUCK]), write("b.json", BROKEN)
    result = run("rehearse", *files, "--coverage", "--output", "json")
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert list(report) == ["summary", "cases", "problems", "coverage"]
    del report["summary"]["seconds"]
    assert report["summary"] == {
        "cases": 3, "passed": 1, "failed": 2, "brokenFiles": 1, "stopped": False,
        "coveragePercent": 60.0,
    }  # fmt: skip
    good, bad, stuck = report["cases"]
    assert good.pop("seconds") > 0
    assert good == {
        "file": "a.json", "name": "A small amount", "passed": True, "status": "completed",
        "elapsed": "PT3S", "path": ["charge", "small"], "error": None, "restarts": 0,
        "differences": [],
    }  # fmt: skip
    assert bad["differences"] == ['path at /1: expected "big", got "small"']
    assert "status" not in stuck
    assert {one["file"] for one in report["problems"]} == {"b.json"}
    assert report["coverage"][0]["steps"] == {"total": 3, "missed": ["big"]}


def test_jsonl(run: Run) -> None:
    """A line for everything, each with its kind; the summary comes last."""
    files = write("a.json", GOOD), write("b.json", BROKEN)
    result = run("rehearse", *files, "--coverage", "--output", "jsonl")
    kinds = [json.loads(line)["kind"] for line in result.stdout.splitlines()]
    assert kinds == ["case", "problem", "problem", "coverage", "summary"]


def test_junit(run: Run) -> None:
    """A suite for each file, a failure with what differs, an error for a broken file."""
    files = write("a.json", [GOOD, {**BAD, "name": "<big> & more"}]), write("b.json", BROKEN)
    write("reports/old.xml", "old")
    result = run("rehearse", *files, "--junit", "reports/old.xml")
    assert result.exit_code == 2
    root = Xml.parse("reports/old.xml").getroot()  # noqa: S314 (our own)
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "1"]
    first, second = root
    assert [case.get("name") for case in first] == ["A small amount", "<big> & more"]
    assert float(first[0].get("time", "")) > 0
    [failure] = first[1]
    assert failure.get("message") == 'path at /1: expected "big", got "small"'
    assert "it went through charge, small" in (failure.text or "")
    assert second[0][0].tag == "error"
    assert "/expect/p" in (second[0][0].text or "")
    assert [file.name for file in Path("reports").iterdir()] == ["old.xml"]


def test_junit_has_no_characters_that_xml_has_not(run: Run) -> None:
    """Whatever is in a name or a message; the folder of the report is made."""
    tasks = {"charge": [{"throw": {"message": "\x1b\ufffe"}}]}
    file = write("a.json", {**GOOD, "name": "bell \x07", "tasks": tasks})
    assert run("rehearse", file, "--junit", "new/folder/report.xml").exit_code == 1
    text = Path("new/folder/report.xml").read_text(encoding="utf-8")
    assert "bell \ufffd" in text
    Xml.fromstring(text)  # noqa: S314 (our own)


def test_junit_that_cannot_be_written(run: Run) -> None:
    """One sentence; the report on stdout is there by then."""
    Path("taken").mkdir()
    result = run("rehearse", write("a.json", GOOD), "--junit", "taken")
    assert result.exit_code == 2
    assert "taken cannot be written" in result.stderr
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []
