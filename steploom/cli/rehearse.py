"""``rehearse``: the cases of definitions, run on a virtual clock, offline or on Temporal."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steploom.cli.options import CatalogueOption, OutputOption, TasksOption, task_sources
from steploom.cli.output import Format, Output, notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from definitions.tasks import TaskSpec
    from worker.rehearsal.coverage import Coverage, DefinitionCoverage
    from worker.rehearsal.on_temporal.session import TemporalRehearsals
    from worker.rehearsal.suite import CaseFile, CaseRun, Rehearsals, Suite

_FAILED, _INVALID = 1, 2
_PAINT = {"✓": "\x1b[32m✓\x1b[0m", "✗": "\x1b[31;1m✗\x1b[0m"}
_PLAIN = {"✓": "ok  ", "✗": "FAIL", "→": "->", "…": "..."}


class On(StrEnum):
    """Where cases are run."""

    OFFLINE = "offline"
    TEMPORAL = "temporal"


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which cases are run, and how."""

    part: str | None
    fail_fast: bool
    restart_every_step: bool
    catalogue: Mapping[str, TaskSpec] | None
    on: Rehearsals | None


def rehearse(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Case files; a folder stands for all case files below it."
        ),
    ],
    *,
    on: Annotated[
        On,
        typer.Option(
            help="Where the cases are run: offline, or on Temporal's test server, whose clock "
            "skips what is waited for."
        ),
    ] = On.OFFLINE,
    part: Annotated[
        str | None,
        typer.Option(
            "-k", metavar="TEXT", help="Only cases with this in their name, in any letter case."
        ),
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first case that fails.")
    ] = False,
    restart_every_step: Annotated[
        bool,
        typer.Option(
            "--restart-every-step",
            help="Run each case once more, restarted from its saved state between any two steps; "
            "that must change nothing. On Temporal: continued as a new run after every step.",
        ),
    ] = False,
    coverage: Annotated[
        bool,
        typer.Option("--coverage", help="Tell which steps and transitions no case reached."),
    ] = False,
    coverage_min: Annotated[
        float | None,
        typer.Option(
            "--coverage-min",
            metavar="PERCENT",
            min=0,
            max=100,
            help="Fail where less of all steps and transitions was reached.",
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML, for CI."),
    ] = None,
    tasks: TasksOption = None,
    catalogue: CatalogueOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Test definitions offline, in milliseconds: run their cases with mocked tasks.

    The interpreter is the one of production; the clock is virtual, so a wait of a month takes no
    time. With --tasks and --catalogue, the retry policies and timeouts of these tasks hold, as they
    do on a worker. With --on temporal the same cases run as workflows of Temporal.

    Exit 0 if all is as expected, 1 if a case fails, 2 if a file is no case file, 4 if there is no
    Temporal server to run them on.
    """
    from steploom.catalogue import known_tasks  # noqa: PLC0415
    from worker.rehearsal.coverage import Coverage, coverage_lines, percent  # noqa: PLC0415
    from worker.rehearsal.files import find_case_files  # noqa: PLC0415 (not for --help)
    from worker.rehearsal.report import summary_json, summary_line, whole_json  # noqa: PLC0415

    out = Output(output)
    measured = Coverage() if coverage or coverage_min is not None else None
    found = find_case_files(files)
    known = known_tasks(task_sources(tasks, catalogue))
    with ExitStack() as held:
        rehearsals = held.enter_context(_on_temporal()) if on is On.TEMPORAL else None
        choice = _Choice(part, fail_fast, restart_every_step, known, rehearsals)
        suite = _run(found, choice, out, measured)
    _check_found(suite, part)
    covered = measured.definitions() if measured is not None else None
    if junit is not None:
        from worker.rehearsal.junit import write_junit  # noqa: PLC0415 (when asked)

        write_junit(junit, suite)
    if output in {Format.TABLE, Format.JSONL}:
        lines = [] if covered is None else ["", *coverage_lines(covered)]
        total = [] if covered is None else [f"Coverage: {percent(covered):g} %"]
        _tell(out, _coverage_facts(covered), lines)
        _tell(out, [_kind("summary", summary_json(suite, covered))], ["", *total])
        if not out.machine:
            _tell(out, [], [summary_line(suite)])
    else:
        out.result(whole_json(suite, covered), lambda: None)
    code = _code(suite, covered, coverage_min)
    if code:
        raise typer.Exit(code)


def _run(files: Sequence[Path], choice: _Choice, out: Output, measured: Coverage | None) -> Suite:
    """Runs the cases, telling each as soon as it has ended."""
    from worker.rehearsal.report import case_json, case_lines  # noqa: PLC0415
    from worker.rehearsal.suite import Suite, read_cases, run_case  # noqa: PLC0415

    began = time.perf_counter()
    suite = Suite()
    for path in files:
        file = read_cases(path)
        chosen = [case for case in file.cases if _named(case.name, choice.part)]
        if not chosen and not file.problems:
            continue
        suite.files.append(file)
        _tell_file(out, file)
        for case in chosen:
            run: CaseRun = run_case(
                file.path,
                case,
                restart_every_step=choice.restart_every_step,
                catalogue=choice.catalogue,
                on=choice.on,
            )
            suite.runs.append(run)
            if measured is not None:
                measured.add(case, run.result.journal if run.result is not None else None)
            _tell(out, [_kind("case", case_json(run))], case_lines(run))
            if choice.fail_fast and not run.passed:
                suite.stopped = True
                break
        if suite.stopped:
            break
    suite.seconds = time.perf_counter() - began
    return suite


def _on_temporal() -> TemporalRehearsals:
    """A test server with a worker, from here to the end.

    Raises:
        UnreachableError: There is none to start.
    """
    from adapters.temporal.binary import at_most_every  # noqa: PLC0415 (loads Temporal's library)
    from worker.rehearsal.on_temporal.session import TemporalRehearsals  # noqa: PLC0415

    return TemporalRehearsals(at_most_every(15.0, notice))


def _check_found(suite: Suite, part: str | None) -> None:
    """Nothing to run is a mistake of whoever asked for it: a green result would hide it.

    Raises:
        InvalidInputError: There was no case and no broken file.
    """
    from definitions.errors import InvalidInputError  # noqa: PLC0415

    if suite.runs or suite.broken:
        return
    if part is None:
        raise InvalidInputError(
            "there is no case in these files",
            hint="a case has `name`, `definition` and `expect`; add one",
        )
    raise InvalidInputError(
        f"no case has {part!r} in its name", hint="run it without -k to see the names"
    )


def _code(suite: Suite, covered: Sequence[DefinitionCoverage] | None, least: float | None) -> int:
    """The exit code; says on stderr what the report above does not."""
    from worker.rehearsal.coverage import percent  # noqa: PLC0415

    code = _INVALID if suite.broken else _FAILED if suite.failed else 0
    if covered is not None and least is not None and percent(covered) < least:
        notice(
            f"{percent(covered):g} % of all steps and transitions were reached, which is less than "
            f"{least:g} %; add cases for those that were not"
        )
        return code or _FAILED
    return code


def _named(name: str, part: str | None) -> bool:
    return part is None or part.casefold() in name.casefold()


def _tell_file(out: Output, file: CaseFile) -> None:
    from worker.rehearsal.report import file_lines, problems_json  # noqa: PLC0415

    _tell(out, [_kind("problem", one) for one in problems_json(file)], file_lines(file))


def _coverage_facts(covered: Sequence[DefinitionCoverage] | None) -> list[dict[str, Any]]:
    return [_kind("coverage", one.to_json()) for one in covered or ()]


def _kind(kind: str, facts: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, **facts}


def _tell(out: Output, facts: Sequence[dict[str, Any]], lines: Sequence[str]) -> None:
    """Tells what is known by now: lines, or with ``jsonl`` facts; the others wait for the end."""
    if out.format is Format.JSONL:
        for one in facts:
            out.change(one, "")
    elif out.format is Format.TABLE and lines:
        out.change({}, _dressed("\n".join(lines)))


def _dressed(text: str) -> str:
    """The text in colours on a terminal, and in what the terminal's encoding can say."""
    encoding = sys.stdout.encoding or "ascii"
    if not encoding.lower().startswith("utf"):
        for mark, plain in _PLAIN.items():
            text = text.replace(mark, plain)
        return text.encode(encoding, "backslashreplace").decode(encoding)
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        lines = text.split("\n")
        return "\n".join(
            line.replace(mark, _PAINT[mark], 1) if (mark := line.lstrip()[:1]) in _PAINT else line
            for line in lines
        )
    return text
