"""``rehearse``: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs import blocks
from tests.unit.cli import run
from tests.unit.rehearsed import BAD, BROKEN, DEFINITION, GOOD, STUCK, write

if TYPE_CHECKING:
    from tests.unit.cli import Run

__all__ = ["run"]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "definitions" / "examples"


def _lines(text: str) -> list[str]:
    """The lines but the last, which has the real time in it."""
    return text.splitlines()[:-1]


def test_every_case_of_the_project_passes(run: Run) -> None:
    """One command for all of them, each also restarted between any two steps."""
    result = run("rehearse", str(ROOT / "tests" / "rehearsals"), "--restart-every-step")
    assert result.exit_code == 0, result.stdout
    assert "✗" not in result.stdout
    assert " passed, in " in result.stdout.splitlines()[-1]


def test_the_examples_pass(run: Run) -> None:
    """The cases that users copy; their folder's definitions are no case files, and are left."""
    result = run("rehearse", str(EXAMPLES), "--coverage", "--coverage-min", "90")
    assert result.exit_code == 0, result.stdout
    assert "expense-approval 1.0.0: " in result.stdout


def test_the_page_shows_what_is_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own output: of the cases, of one that fails, of the coverage."""
    folder = Path.cwd()
    monkeypatch.chdir(ROOT)
    file = "definitions/examples/rehearsals/expense-approval.json"
    printed = run("rehearse", file, "--coverage").stdout
    shown = [block.text for block in blocks("text") if block.page.name == "rehearsal.md"]
    assert shown[0] in printed
    assert shown[-1] in printed
    case = json.loads(Path(file).read_text())[-1]
    case["definition"] = str(EXAMPLES / "expense-approval.json")
    case["expect"]["path"].pop()
    case["expect"]["output"]["outcome"] = "approved"
    (folder / "case.json").write_text(json.dumps(case))
    assert shown[1] in run("rehearse", str(folder / "case.json")).stdout


def test_a_line_for_each_case(run: Run) -> None:
    """With the virtual time that it took, below the file's name; the counts come last."""
    result = run("rehearse", write("shop.json", GOOD))
    assert result.exit_code == 0
    assert _lines(result.stdout) == ["shop.json", "  ✓ A small amount  PT3S", ""]
    assert result.stdout.splitlines()[-1].startswith("1 case: 1 passed, in 0.")
    assert result.stderr == ""


def test_a_failure_tells_what_differs(run: Run) -> None:
    """Expected and got below one another, then where the run really went; exit code 1."""
    result = run("rehearse", write("shop.json", [GOOD, BAD]))
    assert result.exit_code == 1
    assert _lines(result.stdout) == [
        "shop.json",
        "  ✓ A small amount  PT3S",
        "  ✗ a big amount  PT3S",
        "      path at /1",
        '        expected  "big"',
        '        got       "small"',
        "      it ended as completed after PT3S",
        "      it went through charge, small",
        "",
    ]
    assert result.stdout.splitlines()[-1].startswith("2 cases: 1 passed, 1 failed, in ")


def test_long_values_are_shown_where_they_differ(run: Run) -> None:
    """Two that begin alike would look the same otherwise; blanks count."""
    long = "word  " * 100
    case = {
        **GOOD,
        "tasks": {"charge": [{"return": {"n": 1, "text": f"{long}one"}}]},
        "expect": {"data": {"text": f"{long}other"}},
    }
    result = run("rehearse", write("shop.json", case))
    expected, got = (line for line in result.stdout.splitlines() if "word" in line)
    assert expected.split("  ", 5)[-1].startswith("…")
    assert expected.endswith('word  other"')
    assert got.endswith('word  one"')
    assert len(got) < 120


def test_a_failed_run_tells_its_error(run: Run) -> None:
    """What made it end is as telling as what differs."""
    tasks = {"charge": [{"throw": {"errorType": "Declined", "message": "no\x1b[31m money"}}]}
    result = run("rehearse", write("shop.json", {**GOOD, "tasks": tasks}))
    assert "it ended as failed after PT3S in charge: Declined: no" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_stuck_case_fails_and_the_others_go_on(run: Run) -> None:
    """It says what it waits for."""
    result = run("rehearse", write("shop.json", [STUCK, GOOD]), "--coverage")
    assert result.exit_code == 1
    assert "  ✗ hangs\n      nothing can wake the run any more, PT0S after" in result.stdout
    assert "waits for the task charge" in result.stdout
    assert "  ✓ A small amount" in result.stdout


def test_a_broken_file_is_exit_code_2_and_the_others_run(run: Run) -> None:
    """Each problem with its place and a sentence."""
    files = write("broken.json", [GOOD, BROKEN]), write("shop.json", GOOD)
    result = run("rehearse", *files)
    assert result.exit_code == 2
    broken = [line.split()[:3] for line in result.stdout.splitlines() if "/1/" in line]
    assert broken == [
        ["✗", "/1/tasks/charge", "case_too_short"],
        ["✗", "/1/expect/p", "case_extra_forbidden"],
    ]
    assert result.stdout.splitlines()[-1].startswith("1 case: 1 passed, 1 file not run, in ")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.json"], "there is no file nowhere.json"),
        (["empty"], "there is no case file below empty"),
        (["none.json"], "there is no case in these files"),
        (["shop.json", "-k", "nothing"], "no case has 'nothing' in its name"),
    ],
)
def test_nothing_to_run_is_exit_code_2(run: Run, args: list[str], said: str) -> None:
    """A green result would hide the mistake; the next thing to try is named."""
    write("empty/definition.json", DEFINITION)
    write("none.json", [])
    write("shop.json", GOOD)
    result = run("rehearse", *args)
    assert result.exit_code == 2
    error, following = result.stderr.splitlines()
    assert error == f"Error: {said}"
    assert following.startswith("Next: ")
    assert result.stdout == ""


def test_folders_hold_definitions_and_cases_side_by_side(run: Run) -> None:
    """``rehearse`` takes the one, ``validate`` the other; a damaged case file is still one."""
    write("all/shop.json", DEFINITION)
    write("all/start.json", {"definition": DEFINITION, "input": {}})
    write("all/cases/one.json", {**GOOD, "definition": "../shop.json"})
    write("all/.hidden/two.json", BAD)
    result = run("rehearse", "all", "all/cases/one.json")
    assert result.exit_code == 0
    assert result.stdout.startswith("all/cases/one.json\n  ✓ A small amount")
    assert result.stdout.splitlines()[-1].startswith("1 case: ")
    Path("all/start.json").unlink()
    assert run("validate", "all").exit_code == 0
    write("all/cases/three.json", json.dumps(GOOD)[:-1])
    result = run("rehearse", "all")
    assert result.exit_code == 2
    assert "all/cases/three.json\n  ✗ / " in result.stdout


def test_selecting_by_name(run: Run) -> None:
    """In any letter case; files without such a case are not mentioned."""
    result = run("rehearse", write("a.json", [GOOD, BAD]), write("b.json", BAD), "-k", "SMALL")
    assert result.exit_code == 0
    assert _lines(result.stdout) == ["a.json", "  ✓ A small amount  PT3S", ""]


def test_failing_fast(run: Run) -> None:
    """Nothing is run after the first failure."""
    result = run("rehearse", write("a.json", [BAD, GOOD]), write("b.json", GOOD), "--fail-fast")
    assert result.exit_code == 1
    last = result.stdout.splitlines()[-1]
    assert last.startswith("1 case: 0 passed, 1 failed, stopped at the first failure, in ")


def test_a_restart_that_changes_something_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both runs are compared in all that they did."""
    traces = iter([{"path": ["a"], "n": 1}, {"path": ["b"], "n": 1}])
    monkeypatch.setattr("worker.rehearsal.suite.trace", lambda _: next(traces))
    result = run("rehearse", write("shop.json", GOOD), "--restart-every-step")
    assert result.exit_code == 1
    assert 'restarted at /path/0\n        expected  "a"\n        got       "b"' in result.stdout


def test_coverage(run: Run) -> None:
    """What no case reached, and a bound for it."""
    file = write("shop.json", GOOD)
    result = run("rehearse", file, "--coverage")
    assert result.exit_code == 0
    assert _lines(result.stdout)[3:] == [
        "shop 1.0.0: 60 %, 2 of 3 steps, 1 of 2 transitions",
        "    step not reached      big",
        "    transition not taken  charge → big if data.n > 10",
        "",
        "Coverage: 60 %",
    ]
    assert run("rehearse", file, "--coverage-min", "60").exit_code == 0
    result = run("rehearse", file, "--coverage-min", "60.01", "-o", "json")
    assert result.exit_code == 1
    assert "60 % of all steps and transitions were reached" in result.stderr
    assert json.loads(result.stdout)["summary"]["coveragePercent"] == 60
    assert run("rehearse", file, "--coverage-min", "101").exit_code == 2


def test_the_policies_of_tasks_hold(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --tasks a step without limits of its own has those of its task."""
    Path("rehearsed_tasks.py").write_text(
        "from steploom import task\n\n"
        '@task("charge", retry={"maxAttempts": 1})\n'
        "def charge() -> None:\n"
        '    """Charges."""\n'
    )
    answers = [{"throw": {"errorType": "Later"}}, {"return": {"n": 1}}]
    case = {**GOOD, "tasks": {"charge": answers}, "expect": {"attempts": {"charge": 1}}}
    file = write("a.json", case)
    assert run("rehearse", file).exit_code == 1
    monkeypatch.syspath_prepend(".")
    assert run("rehearse", file, "--tasks", "rehearsed_tasks").exit_code == 0


def test_a_terminal_that_cannot_show_the_marks_gets_words(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and nothing is raised."""
    from steploom.cli.rehearse import _dressed  # noqa: PLC0415

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert _dressed("  ✗ näme\na → b") == "  FAIL n\\xe4me\na -> b"
    assert run is not None


def test_it_starts_without_any_service() -> None:
    """No Temporal, no database, no HTTP client; and in well under a second of work."""
    script = (
        "import sys\n"
        "from steploom.cli.app import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'temporalio', 'sqlalchemy', 'psycopg', 'alembic', 'httpx'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "rehearse", "definitions/examples", "--coverage"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
