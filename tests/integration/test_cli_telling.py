"""``explain``, ``definitions graph`` and ``definitions diff`` on what Postgres has on record."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.reader import PostgresReader
from adapters.postgres.recorder import PostgresRecorder
from definitions.document import Definition
from definitions.explain import explain
from definitions.records import RecordBatch, RunRef, RunStarted
from tests.unit.recorded import views_of
from worker.rehearsal.case import parse_case
from worker.rehearsal.host import START
from worker.rehearsal.run import rehearse

if TYPE_CHECKING:
    from adapters.postgres.database import Database
    from worker.rehearsal.case import Case

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = {
    "workflowId": "expense",
    "name": "Expense",
    "version": "1.0.0",
    "steps": [
        {
            "stepId": "route",
            "taskId": "look-up",
            "next": [
                {"nextStepId": "approve", "condition": "data.amount > 1000"},
                {"nextStepId": "pay"},
            ],
        },
        {"stepId": "approve", "taskId": "core.approval"},
        {"stepId": "pay", "taskId": "pay", "compensation": {"taskId": "refund"}},
        {"stepId": "book", "taskId": "core.fail", "input": {"errorType": "Closed"}},
    ],
}
CASE = {
    "name": "told",
    "definition": DOCUMENT,
    "input": {"amount": 1500},
    "tasks": {
        "look-up": [{"throw": {"errorType": "Busy"}}, {"return": {}}],
        "pay": [{"after": "PT1S", "return": {"id": 1}}],
        "refund": [{"return": {}}],
    },
    "actions": [{"at": "PT1H", "approve": {"stepId": "approve", "approver": "manager"}}],
}


async def record(database: Database, case: Case) -> RunRef:
    """Registers two versions, rehearses a run of the first, and writes its record."""
    store, recorder = PostgresDefinitionStore(database), PostgresRecorder(database)
    org = await store.find_org("default")
    changed = {**DOCUMENT, "version": "1.1.0", "steps": DOCUMENT["steps"][:3]}
    await store.register(org.id, Definition.model_validate(changed), changed)
    stored = await store.register(org.id, Definition.model_validate(DOCUMENT), DOCUMENT)
    result = rehearse(case)
    assert result.state is not None
    ref = result.state.ref
    started = RunStarted(
        ref=ref,
        definition_id=stored.definition_id,
        version_id=stored.version_id,
        input=case.input,
        started_at=START,
        interpreter_version=1,
    )
    await recorder.write(RecordBatch(ref=ref, started=started))
    for attempt in result.journal.attempts:
        await recorder.write(RecordBatch(ref=ref, attempt=attempt))
    await recorder.write(RecordBatch(ref=ref, records=result.journal.records))
    await recorder.close()
    return ref


async def steploom(url: str, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs a command against a database, in a folder where no `steploom dev` runs."""
    environment = {**os.environ, "STEPLOOM_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "steploom", *args],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_record_tells_what_happened(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """What is told from Postgres is what the records themselves tell; so with the commands."""
    case = parse_case(CASE)
    ref = await record(database, case)
    reader = PostgresReader(database)
    run = await reader.find_instance(ref.org_id, ref.execution_id)
    told = explain(run, await reader.steps(ref.org_id, run.id))
    expected = explain(*views_of(rehearse(case).journal, DOCUMENT, case.input))
    assert [(one.path, one.because) for one in told.steps] == [
        (one.path, one.because) for one in expected.steps
    ]
    assert told.ending == expected.ending

    shown = await steploom(database_url, tmp_path, "explain", ref.execution_id)
    assert shown.returncode == 0, shown.stderr
    assert (
        "route → approve because data.amount > 1000 was true (data.amount = 1500)" in shown.stdout
    )
    assert "waited 59 min 59 s for an approval by anyone" in shown.stdout
    assert "rolled back, in this order: pay" in shown.stdout
    one = await steploom(database_url, tmp_path, "explain", ref.execution_id, "pay", "-o", "json")
    paths = [step["path"] for step in json.loads(one.stdout)["steps"]]
    assert paths == ["pay", "pay@compensation"]
    none = await steploom(database_url, tmp_path, "explain", ref.execution_id, "nowhere")
    assert none.returncode == 3
    assert "on record: route, approve, pay, book" in none.stderr


async def test_pictures_and_differences(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """A graph of the version that a run is pinned to, and what the next version changed."""
    ref = await record(database, parse_case(CASE))
    graph = ("definitions", "graph", "expense")
    run = ("--execution", ref.execution_id)
    text = await steploom(database_url, tmp_path, *graph, *run)
    assert text.returncode == 0, text.stderr
    assert "    ⇒ approve  if data.amount > 1000\n" in text.stdout
    assert "✗ book  [failed]  (core.fail)\n" in text.stdout
    drawn = await steploom(database_url, tmp_path, *graph, *run, "--format", "mermaid")
    assert "  class s1,s2,s3 completed\n" in drawn.stdout
    facts = await steploom(database_url, tmp_path, *graph, "-o", "json")
    assert [node["stepId"] for node in json.loads(facts.stdout)["nodes"]] == [
        "route", "approve", "pay",
    ]  # fmt: skip
    wrong = await steploom(database_url, tmp_path, *graph, *run, "--version", "1.1.0")
    assert wrong.returncode == 5

    difference = ("definitions", "diff", "expense", "1.0.0", "1.1.0")
    found = await steploom(database_url, tmp_path, *difference)
    assert found.stdout.splitlines()[-1] == ("  - book  (task core.fail), the main path, after pay")
    machine = await steploom(database_url, tmp_path, *difference, "-o", "json")
    assert json.loads(machine.stdout)["steps"][0]["kind"] == "removed"


@pytest.mark.parametrize("name", ["explain", "definitions"])
async def test_unknown_names(database_url: str, tmp_path: Path, name: str) -> None:
    """Not found is exit code 3, with the next thing to try."""
    args = (name, "nothing") if name == "explain" else (name, "graph", "nothing")
    answer = await steploom(database_url, tmp_path, *args)
    assert answer.returncode == 3
    assert "Next: " in answer.stderr
