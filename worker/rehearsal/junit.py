"""The report in the form of JUnit's, which every CI server reads.

A ``testsuite`` for each file, a ``testcase`` for each case; a broken file has one with an
``error``. ``time`` is the real time in seconds.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from definitions.errors import InvalidInputError
from definitions.jsonvalues import REPLACEMENT
from worker.rehearsal.report import failure_lines

if TYPE_CHECKING:
    from pathlib import Path

    from worker.rehearsal.suite import CaseFile, CaseRun, Suite

#: The characters that XML 1.0 cannot have, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(target: Path, suite: Suite) -> None:
    """Writes the report at once and whole: whoever reads the file finds the old one or the new.

    Raises:
        InvalidInputError: It cannot be written there.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(junit(suite))
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InvalidInputError(
            f"{target} cannot be written: {error.strerror or error}",
            hint="give --junit a file in a folder that you may write to",
        ) from None


def junit(suite: Suite) -> bytes:
    """The report as an XML document in UTF-8."""
    root = Xml.Element("testsuites", name="steploom rehearse")
    _count(root, len(suite.runs) + len(suite.broken), len(suite.failed), len(suite.broken))
    root.set("time", _seconds(suite.seconds))
    for file in suite.files:
        root.append(_suite(file, [run for run in suite.runs if run.file == file.path]))
    Xml.indent(root)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(file: CaseFile, runs: list[CaseRun]) -> Xml.Element:
    made = Xml.Element("testsuite", name=_text(file.path))
    broken = bool(file.problems)
    failed = sum(not run.passed for run in runs)
    _count(made, len(runs) + broken, failed, int(broken))
    made.set("time", _seconds(sum(run.seconds for run in runs)))
    for run in runs:
        made.append(_case(run))
    if broken:
        lines = [f"{one.pointer or '/'} {one.code} {one.message}" for one in file.problems]
        case = Xml.SubElement(
            made, "testcase", name="is a case file", classname=_text(file.path), time=_seconds(0)
        )
        error = Xml.SubElement(case, "error", message=_text(lines[0]), type="InvalidCaseFile")
        error.text = _text("\n".join(lines))
    return made


def _case(run: CaseRun) -> Xml.Element:
    case = Xml.Element(
        "testcase", name=_text(run.name), classname=_text(run.file), time=_seconds(run.seconds)
    )
    if not run.passed:
        first = _text(run.differences[0])
        failure = Xml.SubElement(case, "failure", message=first, type="Difference")
        failure.text = _text("\n".join(failure_lines(run)))
    return case


def _count(element: Xml.Element, tests: int, failures: int, errors: int) -> None:
    for name, number in (("tests", tests), ("failures", failures), ("errors", errors)):
        element.set(name, str(number))


def _seconds(value: float) -> str:
    return f"{value:.6f}"


def _text(text: str) -> str:
    return _NOT_XML.sub(REPLACEMENT, text)
