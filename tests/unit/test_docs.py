"""The docs say what the code does: examples, commands, names and links are held against it."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

import pytest
import typer.main

from activities.context import TaskContext
from activities.registry import TaskRegistry, task
from adapters.telemetry.names import ATTRIBUTES, METRICS, SPANS
from definitions import names
from definitions.audit import _FIELD_ORDER, WorkflowEventBuilder
from definitions.declared import read_catalogue
from definitions.errors import NEVER_RETRIED
from definitions.expressions import AFTER_STEP_NAMES, ITEM_NAMES, TRIGGER_NAMES, UI_NAMES
from definitions.records import Decision
from definitions.start import StartRequest
from definitions.statuses import InstanceStatus, StepStatus
from definitions.tasks import BUILTIN_TASKS
from definitions.validation.api import validate
from steploom.cli.app import app
from tests.docs import DOCS, ROOT, anchors, blocks, pages, prose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.problems import Problem
    from tests.docs import Block

PACKAGES = ("definitions", "activities", "worker", "adapters", "steploom")
#: What the first example of tasks.md is saved as.
EXAMPLE_MODULE = "shop_tasks"


def _ids(found: list[Block]) -> list[Any]:
    return [pytest.param(block, id=block.place) for block in found]


def _word(word: str, page: str) -> bool:
    """Whether a page has this very word in code."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) is not None


def test_the_generated_parts_are_up_to_date() -> None:
    """Who changes a field, a setting, a command or a table runs `python docs/generate.py`."""
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", _ids(blocks("json", "definition")))
def test_a_definition_is_valid(block: Block) -> None:
    """A block marked as a definition is a whole one: no errors, no warnings but of its tasks."""
    assert _problems(json.loads(block.text)) == []


@pytest.mark.parametrize("block", _ids(blocks("json", "steps")))
def test_steps_are_valid(block: Block) -> None:
    """A block marked as steps makes a definition."""
    document = {"workflowId": "w", "name": "W", "version": "1.0.0", "steps": json.loads(block.text)}
    assert _problems(document) == []


def _problems(document: Any) -> list[Problem]:
    return [one for one in validate(document).problems if one.code != "unregistered_task"]


@pytest.mark.parametrize("block", _ids(blocks("json", "start")))
def test_a_start_object_is_valid(block: Block) -> None:
    """A block marked as a start is one."""
    start = StartRequest.model_validate_json(block.text)
    assert start.definition is None or _problems(start.definition) == []


@pytest.mark.parametrize("block", _ids(blocks("json", "catalogue")))
def test_a_task_catalogue_is_valid(block: Block) -> None:
    """A block marked as a catalogue declares tasks, and nothing is wrong with it."""
    read = read_catalogue(block.text)
    assert (read.problems, bool(read.specs)) == ([], True)


def test_the_audit_event_is_one() -> None:
    """The event in records.md is what the builder makes of its fields."""
    [block] = blocks("json", "audit")
    event = json.loads(block.text)
    workflow = event["data"]["workflow"]
    assert list(workflow) == [name for name in _FIELD_ORDER if name in workflow]
    assert set(_FIELD_ORDER) - set(workflow) == {"error_message"}
    builder = (
        WorkflowEventBuilder(event["event_type"])
        .with_workflow_id(workflow["workflow_id"])
        .with_phase(workflow["phase"])
        .with_outcome(workflow["outcome"])
        .with_approval_required(workflow["approval_required"])
        .with_approval_decision(workflow["approval_decision"], workflow["approver"])
    )
    assert builder is not None
    assert (event["version"], event["service"]) == ("1.0", "workflow")


@pytest.mark.parametrize("block", _ids(blocks("json")))
def test_json_is_json(block: Block) -> None:
    """Every block of JSON parses, and its mark is one that a test knows."""
    json.loads(block.text)
    known = {"", "definition", "steps", "start", "audit", "case", "catalogue", "broken", "verdict"}
    assert block.mark in known | {"pruned"}


@pytest.fixture
def shop_tasks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The first example of tasks.md as the module that the page calls it."""
    first = next(block for block in blocks("python") if block.page.name == "tasks.md")
    module = ModuleType(EXAMPLE_MODULE)
    monkeypatch.setitem(sys.modules, EXAMPLE_MODULE, module)
    exec(compile(first.text, first.place, "exec"), vars(module))  # noqa: S102 (our own docs)
    return module


@pytest.fixture
def memory_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of providers.md as the module that the page calls it."""
    [example] = blocks("python", "provider")
    module = ModuleType("memory_provider")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(example.text, example.place, "exec"), vars(module))  # noqa: S102 (as above)


@pytest.mark.usefixtures("memory_provider")
@pytest.mark.parametrize("block", _ids(blocks("python")))
def test_python_compiles_and_its_imports_resolve(block: Block, shop_tasks: ModuleType) -> None:
    """Whatever an example imports is there."""
    for node in ast.walk(ast.parse(block.text, block.place)):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, name.name) for name in node.names), block.place
    assert vars(shop_tasks)["charge_card"]


def test_the_examples_of_tasks_are_tasks(shop_tasks: ModuleType) -> None:
    """They can be registered under the ids that the page says, and its test passes."""
    registry = TaskRegistry()
    tests = 0
    for block in blocks("python"):
        if block.page.name != "tasks.md":
            continue
        module = ModuleType("example")
        sys.modules["example"] = module
        try:
            exec(compile(block.text, block.place, "exec"), vars(module))  # noqa: S102 (as above)
            for name, value in list(vars(module).items()):
                if hasattr(value, "__steploom_task__") and value.__module__ == "example":
                    registry.add(value)
                elif name.startswith("test_"):
                    value()
                    tests += 1
        finally:
            del sys.modules["example"]
    assert {spec.spec.task_id for spec in registry} == {"charge-card", "transfer", "import-rows"}
    assert tests == 1
    assert shop_tasks is not None


def _command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every command of ours that a console block shows, without what follows a pipe or ``>``."""
    for block in blocks("console"):
        for line in re.findall(r"^\$ (.+)$", block.text, re.MULTILINE):
            for part in re.split(r"\s(?:\||&&|>)\s", line):
                if part.startswith(("steploom ", "./dev ")):
                    yield f"{block.place} {part}", shlex.split(part)[1:]


@pytest.mark.parametrize(("line", "arguments"), list(_command_lines()))
def test_a_command_is_understood(line: str, arguments: list[str]) -> None:
    """What a console block shows parses: the command, its arguments, its options."""
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        assert rest, line
        assert rest[0] in command.commands, line
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest)


def test_commands_in_the_text_exist() -> None:
    """So do those that are named in a sentence, with their options."""
    root: Any = typer.main.get_command(app)
    for page in pages():
        for span in re.findall(r"`steploom ([^`]+)`", prose(page)):
            command, words = root, span.split()
            while words and not words[0].startswith("-") and hasattr(command, "commands"):
                if words[0].isupper():  # COMMAND, EXECUTION, …
                    break
                assert words[0] in command.commands, f"{page.name}: steploom {span}"
                command = command.commands[words.pop(0)]
            known = {name for one in command.params for name in one.opts} | {"--help", "--debug"}
            options = {word.partition("=")[0] for word in words if word.startswith("-")}
            assert options <= known, f"{page.name}: steploom {span}"


def test_every_command_has_formats() -> None:
    """As cli.md says of all of them at once."""

    def leaves(command: Any) -> Iterator[Any]:
        for child in getattr(command, "commands", {}).values():
            yield from leaves(child) if hasattr(child, "commands") else [child]

    without = {
        command.name
        for command in leaves(typer.main.get_command(app))
        if not any("--output" in one.opts for one in command.params)
    }
    assert without == set()


def test_links_lead_somewhere() -> None:
    """A link names a file that is there, and a heading that is in it."""
    for page in pages():
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_is_in_the_index() -> None:
    """Who opens docs/ finds all of it, and every page begins with its title."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in pages():
        place = page.relative_to(DOCS).as_posix()
        assert page.name == "README.md" or f"]({place})" in index
        assert page.read_text(encoding="utf-8").startswith("# ")


def test_every_environment_variable_is_documented() -> None:
    """Those that the code reads by name, and those of ours that it speaks of."""
    read = re.compile(
        r"""environ(?:\.get)?[(\[]\s*"(\w+)"|getenv\(\s*"(\w+)"|"(\w+)" (?:not )?in os\.environ"""
    )
    found = {"PYTHON"}
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            found |= {name for groups in read.findall(text) for name in groups if name}
            found |= set(re.findall(r"\bSTEPLOOM_[A-Z_]*[A-Z]\b", text))
    assert "STEPLOOM_CACHE_DIR" in found
    missing = {name for name in found if not _word(name, "settings.md")}
    assert not missing


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (
            "running.md",
            {
                names.WORKFLOW_TYPE,
                names.TASK_QUEUE,
                names.UPDATE_DECIDE,
                names.UPDATE_PAUSE,
                names.UPDATE_RESUME,
                names.UPDATE_SKIP,
                names.SIGNAL_EVENT,
                names.QUERY_STATE,
                names.QUERY_UI,
                *names.SEARCH_ATTRIBUTES,
            },
        ),
        (
            "telemetry.md",
            {
                *SPANS,
                *ATTRIBUTES,
                *(metric.name for metric in METRICS),
                *("execution", "step", "task", "attempt", "trace_id", "span_id"),
            },
        ),
        (
            "tasks.md",
            {
                names.TASKS_ENTRY_POINT,
                *(name for name in dir(TaskContext) if not name.startswith("_")),
                *(name for name in task.__annotations__ if name != "return"),
            },
        ),
        (
            "definitions.md",
            {
                *BUILTIN_TASKS,
                *NEVER_RETRIED,
                *AFTER_STEP_NAMES,
                *ITEM_NAMES,
                *UI_NAMES,
                *TRIGGER_NAMES,
                *(str(one) for one in InstanceStatus),
                *(str(one) for one in StepStatus),
            },
        ),
        (
            "records.md",
            {
                *_FIELD_ORDER,
                *get_args(Decision.model_fields["kind"].annotation),
            },
        ),
    ],
)
def test_a_page_has_all_of_its_names(page: str, words: set[str]) -> None:
    """A new update, context field, built-in task, status or kind of decision gets its words."""
    assert {word for word in words if not _word(word, page)} == set()


def test_the_stack_s_variables_are_documented() -> None:
    """Everything that .env.example asks for."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    variables = re.findall(r"^([A-Z_]+)=", text, re.MULTILINE)
    assert variables
    assert {name for name in variables if not _word(name, "running.md")} == set()
