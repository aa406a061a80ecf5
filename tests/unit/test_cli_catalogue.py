"""``--catalogue`` and ``STEPLOOM_CATALOGUE``: commands that know tasks in other languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from steploom import devinfo
from tests.unit.cli import run
from tests.unit.rehearsed import write

if TYPE_CHECKING:
    from tests.unit.cli import Run

__all__ = ["run"]

CHARGE: dict[str, Any] = {
    "taskId": "charge-card",
    "activity": "ChargeCard",
    "taskQueue": "payments",
    "attemptTimeout": "PT20S",
    "retryPolicy": {"maxAttempts": 2, "delay": "PT7S"},
    "inputSchema": {"properties": {"amount": {"type": "number"}}},
    "outputSchema": {
        "type": "object",
        "properties": {"chargeId": {"type": "string"}},
        "additionalProperties": False,
    },
}
STEP = {"stepId": "charge", "taskId": "charge-card", "input": {"amount": 5}}


def document(**step: Any) -> dict[str, Any]:
    """A document with this one step."""
    return {"workflowId": "a", "name": "A", "version": "1.0.0", "steps": [{**STEP, **step}]}


@pytest.fixture
def catalogue(run: Run) -> str:
    """A catalogue in the folder that the command runs in."""
    assert run is not None
    return write("payments.json", {"tasks": [CHARGE]})


def test_the_list_says_where_a_task_is_served(run: Run, catalogue: str) -> None:
    """Activity and queue, for people and for programs."""
    line = next(
        line
        for line in run("tasks", "list", "--catalogue", catalogue).stdout.splitlines()
        if line.startswith("charge-card")
    )
    assert line.split()[1:5] == ["remote", "ChargeCard", "on", "payments"]
    found = json.loads(run("tasks", "list", "--catalogue", catalogue, "-o", "json").stdout)
    [charge] = [one for one in found if one["taskId"] == "charge-card"]
    assert (charge["activity"], charge["taskQueue"]) == ("ChargeCard", "payments")
    assert charge["inputSchema"] == CHARGE["inputSchema"]


@pytest.mark.parametrize("by", ["option", "setting"])
def test_documents_are_checked_against_it(
    run: Run, catalogue: str, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The name, the literals of an input, and the fields of an output."""
    args = ["--catalogue", catalogue] if by == "option" else []
    if by == "setting":
        monkeypatch.setenv("STEPLOOM_CATALOGUE", catalogue)
    assert run("validate", write("good.json", document()), "--strict", *args).exit_code == 0
    near = run("validate", write("near.json", document(taskId="charge-cart")), *args)
    assert near.exit_code == 2
    assert "did you mean 'charge-card'?" in near.stdout
    misfit = run("validate", write("misfit.json", document(input={"amount": "five"})), *args)
    assert "/steps/0/input/amount input_does_not_fit" in misfit.stdout
    lost = document(output={"id": "${output.chargeld}"})
    assert "_field" in run("validate", write("lost.json", lost), *args).stdout


def test_a_broken_catalogue_ends_every_command(run: Run, catalogue: str) -> None:
    """Exit code 2, each problem with its file, pointer and code, before anything else is done."""
    bad = write("bad.json", {"tasks": [{**CHARGE, "taskQueue": ""}, {}]})
    good = write("good.json", document())
    for args in (
        ["validate", good], ["register", good], ["rehearse", good], ["tasks", "list"],
        ["start", "a"],
    ):  # fmt: skip
        result = run(*args, "--catalogue", catalogue, "--catalogue", bad, "-o", "json")
        assert (result.exit_code, result.stdout) == (2, ""), args
        problems = json.loads(result.stderr)["error"]["problems"]
        assert {one["file"] for one in problems} == {"bad.json"}
        assert (problems[0]["pointer"], problems[0]["code"]) == ("/tasks/0/taskQueue", "empty")
    told = run("tasks", "list", "--catalogue", bad).stderr
    assert "bad.json:/tasks/0/taskQueue empty taskQueue must not be empty" in told
    assert "steploom schema catalogue" in told


def test_a_name_that_is_taken(run: Run, catalogue: str) -> None:
    """By a function, or by another file: the sentence names both places."""
    Path("tasks_of_the_test.py").write_text(
        "from steploom import task\n\n\n@task()\ndef charge_card() -> None: ...\n"
    )
    twice = run("tasks", "list", "--tasks", "tasks_of_the_test", "--catalogue", catalogue)
    assert twice.exit_code == 1
    assert (
        "two tasks are called charge-card: tasks_of_the_test.charge_card and "
        "payments.json:/tasks/0" in twice.stderr
    )
    other = write("other.json", {"tasks": [CHARGE]})
    again = run("tasks", "list", "--catalogue", catalogue, "--catalogue", other)
    assert "payments.json:/tasks/0 and other.json:/tasks/0" in again.stderr


def test_a_file_that_is_not_there(run: Run) -> None:
    """One sentence, exit code 2."""
    result = run("tasks", "list", "--catalogue", "nowhere.json")
    assert result.exit_code == 2
    assert "the task catalogue nowhere.json cannot be read" in result.stderr


def test_a_rehearsal_has_its_retries(run: Run, catalogue: str) -> None:
    """The task is mocked; what the catalogue says of it holds."""
    case = {
        "name": "the second attempt succeeds",
        "definition": document(),
        "tasks": {"charge-card": [{"throw": {"message": "no"}}, {"return": {"chargeId": "c"}}]},
        "expect": {
            "status": "completed",
            "elapsed": "PT7S",
            "attempts": {"charge": 2},
            "output": {"chargeId": "c"},
        },
    }
    file = write("case.json", case)
    args = ["rehearse", file, "--restart-every-step"]
    assert run(*args, "--catalogue", catalogue).exit_code == 0
    assert run(*args).exit_code == 1


def test_in_the_folder_of_steploom_dev_its_tasks_are_known(run: Run, catalogue: str) -> None:
    """Documents are checked against the tasks of its worker; a broken file is passed over."""
    near = write("near.json", document(taskId="charge-cart"))
    assert run("validate", near).exit_code == 0
    with devinfo.hold(Path.cwd()):
        devinfo.write_tasks(Path.cwd(), modules=[], catalogues=[catalogue])
        assert devinfo.served_tasks(Path.cwd()) == ([], [catalogue])
        result = run("validate", near)
        assert result.exit_code == 2
        assert "did you mean 'charge-card'?" in result.stdout
        Path(catalogue).write_text("{")
        assert run("validate", near).exit_code == 0
    assert devinfo.served_tasks(Path.cwd()) == ([], [])
