"""What was rehearsed, as lines for people and as JSON values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.durations import format_duration
from definitions.jsonvalues import REPLACEMENT
from definitions.statuses import InstanceStatus
from definitions.texts import one_line
from worker.rehearsal.coverage import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.rehearsal.coverage import DefinitionCoverage
    from worker.rehearsal.suite import CaseFile, CaseRun, Suite

#: What begins the line of a case.
PASSED, FAILED = "✓", "✗"

_EXPECTED = ": expected "
_GOT = ", got "
_INDENT = " " * 6


def file_lines(file: CaseFile) -> list[str]:
    """The line above a file's cases; of a broken file all its problems, each with its place."""
    lines = [file.path]
    lines += [
        f"  {FAILED} {one.pointer or '/'} {one.code} {one_line(one.message)}"
        for one in file.problems
    ]
    return lines


def case_lines(run: CaseRun) -> list[str]:
    """The line of a case with its virtual time; of a failed one what differs, and what it did."""
    name = one_line(run.name)
    elapsed = f"  {format_duration(run.result.elapsed)}" if run.result is not None else ""
    if run.passed:
        return [f"  {PASSED} {name}{elapsed}"]
    return [f"  {FAILED} {name}{elapsed}", *(f"{_INDENT}{line}" for line in failure_lines(run))]


def failure_lines(run: CaseRun) -> list[str]:
    """Everything that tells why a case failed."""
    lines = [part for line in run.differences for part in _apart(_visible(line))]
    result = run.result
    if result is None:
        return lines
    lines.append(f"it ended as {result.status} after {format_duration(result.elapsed)}")
    error = result.error
    if error is not None and result.status is not InstanceStatus.COMPLETED:
        step = f" in {error['stepId']}" if error.get("stepId") else ""
        told = one_line(f"{error.get('type')}: {error.get('message')}", 200)
        lines[-1] += f"{step}: {told}"
    if result.path:
        lines.append(f"it went through {_visible(', '.join(_names(result.path)))}")
    return lines


def summary_line(suite: Suite) -> str:
    """``147 cases: 146 passed, 1 failed, in 0.84 s``."""
    count, failed, broken = len(suite.runs), len(suite.failed), len(suite.broken)
    parts = [f"{count - failed} passed"]
    if failed:
        parts.append(f"{failed} failed")
    if broken:
        parts.append(f"{broken} file{'s' if broken > 1 else ''} not run")
    if suite.stopped:
        parts.append("stopped at the first failure")
    cases = f"{count} case{'s' if count != 1 else ''}"
    return f"{cases}: {', '.join(parts)}, in {suite.seconds:.2f} s"


def case_json(run: CaseRun) -> dict[str, Any]:
    """A case as JSON values. What a run that never ended has not is left out."""
    facts: dict[str, Any] = {"file": run.file, "name": run.name, "passed": run.passed}
    if run.result is not None:
        result = run.result
        facts |= {
            "status": str(result.status),
            "elapsed": format_duration(result.elapsed),
            "path": result.path,
            "error": result.error,
            "restarts": result.restarts,
        }
    return facts | {"differences": run.differences, "seconds": round(run.seconds, 6)}


def problems_json(file: CaseFile) -> list[dict[str, Any]]:
    """The problems of a broken file as JSON values."""
    return [{"file": file.path, **one.model_dump(mode="json")} for one in file.problems]


def summary_json(suite: Suite, covered: Sequence[DefinitionCoverage] | None) -> dict[str, Any]:
    """The counts as JSON values; the percentage where coverage was asked for."""
    facts: dict[str, Any] = {
        "cases": len(suite.runs),
        "passed": len(suite.runs) - len(suite.failed),
        "failed": len(suite.failed),
        "brokenFiles": len(suite.broken),
        "stopped": suite.stopped,
        "seconds": round(suite.seconds, 6),
    }
    return facts if covered is None else facts | {"coveragePercent": percent(covered)}


def whole_json(suite: Suite, covered: Sequence[DefinitionCoverage] | None) -> dict[str, Any]:
    """The whole report as one JSON value."""
    whole: dict[str, Any] = {
        "summary": summary_json(suite, covered),
        "cases": [case_json(run) for run in suite.runs],
        "problems": [one for file in suite.broken for one in problems_json(file)],
    }
    return whole if covered is None else whole | {"coverage": [one.to_json() for one in covered]}


def _apart(line: str) -> list[str]:
    """A difference with what was expected and what came below one another, to be compared."""
    what, expected, rest = line.partition(_EXPECTED)
    wanted, got, came = rest.partition(_GOT)
    if not expected or not got:
        return [line]
    return [what, f"  expected  {wanted}", f"  got       {came}"]


def _visible(line: str) -> str:
    """A line without what a terminal would obey; its blanks stay, as they may be what differs."""
    return "".join(c if c.isprintable() else REPLACEMENT for c in line)


def _names(path: Sequence[Any]) -> Iterator[str]:
    """The steps of a path, those of branches in brackets behind the step that forked."""
    for entry in path:
        if isinstance(entry, dict):
            for branch, inner in entry["fork"].items():
                yield f"[{branch}: {', '.join(_names(inner))}]"
        else:
            yield str(entry)
