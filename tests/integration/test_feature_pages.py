"""What the pages of features print of a record, printed again from Postgres.

The definitions of a page are registered and its cases rehearsed; the record of each is written as
that of an execution ``<workflowId>-<n>``, its number among the page's cases of that definition.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.document import Definition
from definitions.identity import instance_id
from definitions.records import RecordBatch, RunStarted
from tests.docs import OF_THE_RECORD, ROOT, definitions, feature_pages, page_cases, shown
from worker.rehearsal.host import START
from worker.rehearsal.run import rehearse

if TYPE_CHECKING:
    from pathlib import Path

    from adapters.postgres.database import Database
    from definitions.ports import Organization, StoredVersion
    from worker.rehearsal.case import Case

PAGES = [
    pytest.param(page, id=page.stem)
    for page in feature_pages()
    if any(one.command.startswith(OF_THE_RECORD) for one in shown(page))
]


async def _write(database: Database, page: Path) -> None:
    store, recorder = PostgresDefinitionStore(database), PostgresRecorder(database)
    org = await store.find_org("default")
    stored = {}
    for document in definitions(page).values():
        version = await store.register(org.id, Definition.model_validate(document), document)
        stored[version.workflow_id, version.version] = version
    numbers: Counter[str] = Counter()
    for case in page_cases(page):
        version = stored[str(case.definition["workflowId"]), str(case.definition["version"])]
        numbers[version.workflow_id] += 1
        name = f"{version.workflow_id}-{numbers[version.workflow_id]}"
        await _write_run(recorder, org, version, case, name)
    await recorder.close()


async def _write_run(
    recorder: PostgresRecorder, org: Organization, version: StoredVersion, case: Case, name: str
) -> None:
    result = rehearse(case)
    assert result.state is not None
    own = {"org_id": org.id, "execution_id": name, "first_run_id": name}
    ref = result.state.ref.model_copy(update={**own, "instance_id": instance_id(name)})
    started = RunStarted(
        ref=ref,
        definition_id=version.definition_id,
        version_id=version.version_id,
        input=case.input,
        started_at=START,
        interpreter_version=1,
    )
    await recorder.write(RecordBatch(ref=ref, started=started))
    for attempt in result.journal.attempts:
        await recorder.write(RecordBatch(ref=ref, attempt=attempt))
    await recorder.write(RecordBatch(ref=ref, records=result.journal.records))


@pytest.mark.parametrize("page", PAGES)
async def test_a_command_prints_what_the_page_shows(
    page: Path, database: Database, database_url: str, tmp_path: Path
) -> None:
    """To the letter."""
    await _write(database, page)
    for one in shown(page):
        if one.command.startswith(OF_THE_RECORD):
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", *shlex.split(one.command)],
                cwd=tmp_path,
                env={**os.environ, "STEPLOOM_DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.rstrip("\n") == one.printed.rstrip("\n"), one.command
