"""``cleanup``, ``payload get`` and ``show`` as commands, and the recipe that reads an archive."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.payloads.files import FilePayloads
from adapters.postgres.recorder import PostgresRecorder
from definitions.references import PayloadReference
from definitions.statuses import InstanceStatus, StepStatus
from tests.docs import DOCS, ROOT
from tests.integration.facts import DEFAULT, attempt, facts, flush, run_ref, started, step

if TYPE_CHECKING:
    from adapters.postgres.database import Database

VALUE = {"password": "hunter22", "pages": ["p" * 1000]}
CONTENT = json.dumps(VALUE, separators=(",", ":")).encode()
HASH = hashlib.sha256(CONTENT).hexdigest()


async def prepare(database: Database, folder: Path) -> None:
    """One execution that ended long ago, with a big value."""
    await FilePayloads(folder).put(DEFAULT, HASH, CONTENT)
    for file in folder.rglob("*.json"):  # noqa: ASYNC240 (a folder of one file)
        os.utime(file, (0, 0))
    recorder, ref = PostgresRecorder(database), run_ref("old")
    big = PayloadReference(sha256=HASH, size=len(CONTENT))
    output = {"count": 1, "scan": big.to_json()}
    done = step(3, StepStatus.COMPLETED, output=output)
    await recorder.write(started(ref))
    await recorder.write(attempt(ref, 1, StepStatus.COMPLETED, done, output=output, payloads=[big]))
    await recorder.write(facts(ref, flush(7, InstanceStatus.COMPLETED, output=output)))
    await recorder.close()


async def command(
    url: str, folder: Path, *arguments: str, program: tuple[str, ...] = ("-m", "steploom")
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "STEPLOOM_DATABASE_URL": url,
        "STEPLOOM_PAYLOADS": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *program, *arguments],
        env=environment,
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_big_value_is_named_and_can_be_read(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """``show`` says how big it is and how it is called, ``payload get`` prints it, redacted."""
    folder = tmp_path / "payloads"
    await prepare(database, folder)
    shown = await command(database_url, folder, "show", "exec-old")
    told = f"{len(CONTENT) / 1024:.1f} KiB in the payload store, sha256 {HASH}"
    assert f"output.scan: {told}" in shown.stdout, shown.stderr
    got = await command(database_url, folder, "payload", "get", HASH)
    assert json.loads(got.stdout) == {**VALUE, "password": "[redacted]"}
    file = tmp_path / "value.json"
    wrote = await command(database_url, folder, "payload", "get", HASH, "--file", str(file))
    assert (wrote.returncode, wrote.stdout) == (0, "")
    assert json.loads(file.read_text()) == json.loads(got.stdout)
    await command(database_url, folder, "orgs", "create", "acme")
    for refused in (("0" * 64,), (HASH, "--org", "acme"), ("../../etc/passwd",)):
        missing = await command(database_url, folder, "payload", "get", *refused)
        assert missing.returncode == 3, missing.stdout
        assert "not found" in missing.stderr


async def test_old_executions_are_archived_removed_and_read_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """As the page says; its recipe puts big values where they belong."""
    folder, archive = tmp_path / "payloads", tmp_path / "archive"
    await prepare(database, folder)
    nothing = await command(database_url, folder, "cleanup", "--output", "json")
    assert json.loads(nothing.stdout)["executions"] == 0
    wrong = await command(database_url, folder, "cleanup", "--older-than", "a year")
    assert wrong.returncode == 2
    assert "such as 90" in wrong.stderr
    options = ("--older-than", "30", "--archive", str(archive))
    dry = await command(database_url, folder, "cleanup", *options, "--dry-run")
    assert dry.stdout.startswith("Would remove 1 executions"), dry.stderr
    done = await command(database_url, folder, "cleanup", *options, "--output", "json")
    summary = json.loads(done.stdout)
    names = ("dryRun", "executions", "archived", "kept", "payloads", "payloadBytes")
    assert [summary[name] for name in names] == [False, 1, 1, 0, 1, len(CONTENT)]
    assert "1 executions removed" in done.stderr
    shown = await command(database_url, folder, "show", "exec-old")
    assert shown.returncode == 3
    page = (DOCS / "cleanup.md").read_text()
    [recipe] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    program = tmp_path / "recipe.py"
    program.write_text(recipe)
    read = await command(database_url, folder, str(archive), program=(str(program),))
    assert read.returncode == 0, read.stderr
    name, path, output = read.stdout.strip().split(" ", 2)
    assert (name, path) == ("exec-old", "charge")
    assert json.loads(output) == {"count": 1, "scan": {**VALUE, "password": "[redacted]"}}


async def test_an_archive_is_a_directory(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """No name is not the current folder, and what is no directory is called that; nothing goes."""
    folder = tmp_path / "payloads"
    await prepare(database, folder)
    file = tmp_path / "file"
    file.touch()
    for given, told in (
        ("", "--archive is empty: it names no directory"),
        (" ", "--archive is empty: it names no directory"),
        ("/dev/null", "/dev/null is not a directory"),
        (str(file), f"{file} is not a directory"),
        (str(file / "below"), f"{file} is not a directory"),
    ):
        for more in ((), ("--dry-run",)):
            options = ("--older-than", "30", "--archive", given, *more)
            refused = await command(database_url, folder, "cleanup", *options)
            assert (refused.returncode, refused.stdout) == (2, "")
            error, following = refused.stderr.splitlines()
            assert told in error
            assert following.startswith("Next: name ")
    names = {one.name for one in tmp_path.iterdir()}  # noqa: ASYNC240 (a folder of two)
    assert names == {"payloads", "file"}
    assert (await command(database_url, folder, "show", "exec-old")).returncode == 0
