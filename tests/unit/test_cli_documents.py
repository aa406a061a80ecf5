"""``validate``, ``schema`` and ``tasks list``: what works without any service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml

from tests.unit.cli import run

if TYPE_CHECKING:
    from tests.unit.cli import Run

__all__ = ["run"]

EXAMPLES = Path(__file__).parents[2] / "definitions" / "examples"
GOOD = {
    "workflowId": "good",
    "name": "Good",
    "version": "1.0.0",
    "steps": [{"stepId": "only", "taskId": "core.noop"}],
}
BAD = {**GOOD, "version": "one", "steps": [{"stepId": "a", "taskId": "core.nop", "next": 7}]}


def _write(name: str, document: Any) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return name


def test_a_good_document(run: Run) -> None:
    """Exit code 0, and what it is."""
    result = run("validate", _write("good.json", GOOD))
    assert result.exit_code == 0
    assert result.stdout == "good.json: valid, good 1.0.0\n"


def test_a_broken_document_has_every_problem_at_once(run: Run) -> None:
    """Each on a line ``file:/pointer code sentence``; exit code 2."""
    result = run("validate", _write("bad.json", BAD))
    assert result.exit_code == 2
    *problems, last = result.stdout.splitlines()
    assert [line.split()[:2] for line in problems] == [
        ["bad.json:/version", "invalid_version"],
        ["bad.json:/steps/0/taskId", "unknown_core_task"],
        ["bad.json:/steps/0/next", "wrong_type"],
    ]
    assert last == "bad.json: invalid, 3 errors"
    assert "did you mean 'core.noop'?" in result.stdout


def test_folders_and_standard_input(run: Run) -> None:
    """A folder stands for all documents below it, hidden ones left out; ``-`` for stdin."""
    _write("some/one.json", GOOD)
    _write("some/deeper/two.json", BAD)
    _write("some/.hidden/three.json", BAD)
    result = run("validate", "some", "-", "--output", "jsonl", stdin=json.dumps(GOOD))
    assert result.exit_code == 2
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["file"], one["ok"]) for one in found] == [
        ("some/deeper/two.json", False),
        ("some/one.json", True),
        ("stdin", True),
    ]


@pytest.mark.parametrize("name", ["nowhere.json", "empty"])
def test_what_cannot_be_read_is_exit_code_2(run: Run, name: str) -> None:
    """A missing file, a folder without a document."""
    Path("empty").mkdir()
    result = run("validate", name)
    assert result.exit_code == 2
    assert name in result.stderr
    assert result.stdout == ""


def test_strict_lets_warnings_fail(run: Run) -> None:
    """A task that nobody knows is a warning without a catalogue."""
    file = _write("warn.json", {**GOOD, "steps": [{"stepId": "a", "taskId": "charge"}]})
    assert run("validate", file).exit_code == 0
    assert "warning: " in run("validate", file).stdout
    assert run("validate", file, "--strict").exit_code == 2


def test_with_tasks_an_unknown_task_is_an_error_with_the_nearest_name(run: Run) -> None:
    """``--tasks`` names modules in the folder that one is in."""
    Path("shop_of_the_test.py").write_text(
        "from steploom import task\n\n\n@task()\ndef charge_card() -> None: ...\n"
    )
    file = _write("near.json", {**GOOD, "steps": [{"stepId": "a", "taskId": "charge-cart"}]})
    result = run("validate", file, "--tasks", "shop_of_the_test")
    assert result.exit_code == 2
    assert "unknown_task" in result.stdout
    assert "did you mean 'charge-card'?" in result.stdout


def test_a_module_that_is_not_there(run: Run) -> None:
    """One sentence, no traceback."""
    result = run("validate", _write("good.json", GOOD), "--tasks", "no_such_module_at_all")
    assert result.exit_code == 1
    assert "no_such_module_at_all cannot be imported" in result.stderr
    assert "Traceback" not in result.stderr


def test_register_refuses_broken_documents_before_it_asks_for_a_database(run: Run) -> None:
    """Every problem of every document, and nothing stored; here there is not even a database."""
    result = run("register", _write("good.json", GOOD), _write("bad.json", BAD), "-o", "json")
    assert result.exit_code == 2
    assert result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["exitCode"] == 2
    assert "nothing was stored" in error["message"]
    assert {problem["file"] for problem in error["problems"]} == {"bad.json"}
    assert len(error["problems"]) == 3


@pytest.mark.parametrize("name", ["definition", "start", "catalogue"])
def test_the_schemas_are_schemas(run: Run, name: str) -> None:
    """What is printed is a JSON Schema; the examples fit that of a definition."""
    result = run("schema", name)
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    jsonschema_rs.meta.validate(schema)
    if name == "definition":
        for example in EXAMPLES.glob("*.json"):
            jsonschema_rs.validate(schema, json.loads(example.read_text()))


def test_the_tasks_of_the_demo(run: Run) -> None:
    """The built-in ones and those of the module, in each format."""
    result = run("tasks", "list", "--tasks", "steploom.demo.tasks")
    assert result.exit_code == 0
    assert result.stdout.startswith("TASK")
    found = json.loads(run("tasks", "list", "--tasks", "steploom.demo.tasks", "-o", "json").stdout)
    modes = {one["taskId"]: one["mode"] for one in found}
    assert modes["check-receipt"] == "local"
    assert modes["reimburse"] == "remote"
    assert "core.http" in modes


@pytest.mark.parametrize(
    "args", [["validate", str(EXAMPLES)], ["schema"], ["tasks", "list"]], ids=lambda a: a[0]
)
@pytest.mark.parametrize("form", ["json", "jsonl", "yaml"])
def test_machine_formats_carry_nothing_else(run: Run, args: list[str], form: str) -> None:
    """Stdout is one value (``jsonl``: one a line) and stderr is empty."""
    result = run(*args, "--output", form)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    if form == "json":
        json.loads(result.stdout)
    elif form == "jsonl":
        assert all(json.loads(line) for line in result.stdout.splitlines())
    else:
        assert yaml.safe_load(result.stdout)


def test_yaml_and_json_say_the_same(run: Run) -> None:
    """Another notation, not another answer."""
    as_json = json.loads(run("tasks", "list", "-o", "json").stdout)
    assert yaml.safe_load(run("tasks", "list", "-o", "yaml").stdout) == as_json
