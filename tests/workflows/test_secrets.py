"""Secrets, redaction and levels, through everything that keeps something: history and Postgres."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from google.protobuf.json_format import MessageToJson
from psycopg import sql

from definitions.redaction import REDACTED
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.secret_tasks import GIVEN
from tests.workflows.stack import DEFAULT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.workflows.stack import Handle, Stack

#: With a quote and a slash: it looks different in JSON, in a URL and in base64.
PLANTED = 'pl4nted"s/ecret+value'
_TABLES = (
    "SELECT relname FROM pg_class"
    " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
)


@pytest.fixture
async def keeping(stack: Stack, tmp_path: Path) -> AsyncIterator[Stack]:
    """A worker that can read the planted secret from a file."""
    (tmp_path / "charge-key").write_text(PLANTED + "\n")
    private = tmp_path / str(DEFAULT)
    private.mkdir()
    (private / "own").write_text("only-of-this-org")
    async with stack.worker(
        tasks=["tests.workflows.secret_tasks"], secrets_dir=tmp_path, redact_keys=["pinCode"]
    ) as served:
        yield served


async def _everything(stack: Stack, handle: Handle) -> str:
    """Temporal's whole history and every row of every table, as text."""
    history = [MessageToJson(event) async for event in handle.fetch_history_events()]
    # As the administrator: the application may not read partitions.
    async with await psycopg.AsyncConnection.connect(stack.url) as connection:
        names = [row[0] for row in await (await connection.execute(_TABLES)).fetchall()]
        rows = []
        for name in names:
            query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(name))
            rows += [row[0] for row in await (await connection.execute(query)).fetchall()]
    decoded = [json.dumps(value) for value in await _payloads(handle)]
    return "\n".join([*history, *rows, *decoded])


async def _payloads(handle: Handle) -> list[Any]:
    """The payloads of a history, decoded: in the history itself they are base64."""
    found: list[Any] = []
    async for event in handle.fetch_history_events():
        _collect(json.loads(MessageToJson(event)), found)
    return found


def _collect(value: Any, found: list[Any]) -> None:

    if isinstance(value, dict):
        if isinstance(value.get("data"), str) and "metadata" in value:
            found.append(base64.b64decode(value["data"]).decode("utf-8", "replace"))
        for member in value.values():
            _collect(member, found)
    elif isinstance(value, list):
        for item in value:
            _collect(item, found)
    elif isinstance(value, str):
        found.append(value)


def _forms() -> list[str]:

    return [
        PLANTED,
        json.dumps(PLANTED)[1:-1],
        json.dumps(json.dumps(PLANTED))[2:-2],
        quote(PLANTED, safe=""),
        base64.b64encode(PLANTED.encode()).decode(),
    ]


async def test_a_planted_secret_is_found_nowhere(keeping: Stack) -> None:
    """The task has it; the history and the record have its name or a mark alone."""
    document = definition(
        step(
            "told",
            "secret.tell",
            input={"key": "secret://charge-key"},
            next=[{"nextStepId": "fork", "condition": "data.plain != ''"}],
        ),
        step(
            "fork",
            parallelBranches=[
                branch("b", step("again", "secret.tell", input={"key": "secret://charge-key"}))
            ],
        ),
        step(
            "refused",
            "secret.fail",
            input={"key": "secret://charge-key"},
            onFailure={"action": "continue", "nextStepId": "crashed"},
        ),
        step("crashed", "secret.crash", input={"key": "secret://charge-key"}, retryPolicy=retry(2)),
    )
    handle = await keeping.start(document)
    error = await keeping.failure(handle)
    assert GIVEN[handle.id] == {"key": PLANTED}
    assert error.type == "RuntimeError"
    record = await keeping.record(handle)
    assert record.step("told").input == {"key": "secret://charge-key"}
    told = record.step("told").output
    assert told["inside"] == f"Bearer {REDACTED}!"
    assert told["harmless"] == "stays"
    refused = record.step("refused").error
    assert refused is not None
    assert refused.message == f"refused: {REDACTED}"
    everything = await _everything(keeping, handle)
    assert "secret://charge-key" in everything
    for form in _forms():
        assert form not in everything


async def test_no_part_of_a_secret_is_quoted(keeping: Stack, tmp_path: Path) -> None:
    """An input that does not fit is quoted by pydantic, without its midst."""
    secret = "".join(f"{number:03}-" for number in range(40))
    (tmp_path / "long").write_text(secret)
    document = definition(step("typed", "secret.typed", input={"key": "secret://long"}))
    handle = await keeping.start(document)
    error = await keeping.failure(handle)
    assert error.type == "ValidationError"
    everything = await _everything(keeping, handle)
    assert secret[:12] not in everything
    assert secret[-12:] not in everything


async def test_an_output_of_another_type_is_kept_and_not_quoted(
    keeping: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the task gave is its output; that it promised something else is logged, without it."""
    document = definition(
        step("odd", "secret.mistyped", input={"key": "secret://charge-key"}), output="${data}"
    )
    result, record = await keeping.run(document)
    assert result == {"key": REDACTED, "more": 1}
    assert record.attempt_statuses("odd") == ["completed"]
    captured = capsys.readouterr()
    assert "output_of_another_type" in captured.out
    assert PLANTED not in captured.out + captured.err


async def test_what_members_names_give_away_is_not_stored(keeping: Stack) -> None:
    """The run itself works with the values; only the record is without them."""
    result, record = await keeping.run(
        definition(
            step(
                "login",
                "core.set",
                input={"apiKey": "${input.api_key}", "pin-code": 4711, "user": "ann"},
                next=[{"nextStepId": "use", "condition": "variables.apiKey == 'k-123456'"}],
            ),
            step("use", "core.noop"),
            output={"length": "${size(variables.apiKey)}", "token": "${variables.apiKey}"},
        ),
        {"api_key": "k-123456", "note": "n"},
    )
    assert result == {"length": 8, "token": "k-123456"}
    assert record.instance.input == {"api_key": REDACTED, "note": "n"}
    assert record.instance.output == {"length": 8, "token": REDACTED}
    login = record.step("login")
    assert login.input == {"apiKey": REDACTED, "pin-code": REDACTED, "user": "ann"}
    assert login.decision is not None
    assert login.decision.evaluated[0].values == {"variables.apiKey": REDACTED}
    assert login.decision.evaluated[0].result is True
    state = record.instance.state or {}
    assert state["variables"]["apiKey"] == REDACTED


async def test_a_secret_of_one_org_is_found_in_its_folder(keeping: Stack) -> None:
    """A folder named by the org's id comes before what all orgs share."""
    handle = await keeping.start(
        definition(step("told", "secret.tell", input={"key": "x-secret://own-x"}))
    )
    error = await keeping.failure(handle)
    assert error.type == "SecretNotFound"
    assert "own-x" in error.message
    handle = await keeping.start(
        definition(step("told", "secret.tell", input={"key": "secret://own"}))
    )
    await keeping.result(handle)
    assert GIVEN[handle.id] == {"key": "only-of-this-org"}


@pytest.mark.parametrize("level", ["error", "info", "debug", None])
async def test_the_level_says_how_much_is_kept(keeping: Stack, level: str | None) -> None:
    """``error``: what succeeded leaves no values; ``info``: those; ``debug``: all that was read."""
    log = {} if level is None else {"executionLog": {"level": level}}
    document = definition(
        step(
            "ok",
            "core.set",
            input={"seen": "${data.n}"},
            next=[{"nextStepId": "task", "condition": "data.n == 5"}],
        ),
        step("task", "secret.fail", input={"key": "abcdef"}, onFailure={"action": "continue"}),
        step("last", "core.noop", output={"done": True}),
        **log,
    )
    _, record = await keeping.run(document, {"n": 5})
    ok, task, last = record.step("ok"), record.step("task"), record.step("last")
    assert ok.decision is not None
    values = ok.decision.evaluated[0].values
    assert values == ({} if level in {"error", "info"} else {"data.n": 5})
    assert ok.input == (None if level == "error" else {"seen": 5})
    assert last.output == (None if level == "error" else {"done": True})
    state = (record.instance.state or {})["steps"]
    assert ("output" in state["last"]) is (level != "error")
    # What failed keeps what it was given, at every level.
    assert task.attempt_records[0].input == {"key": "abcdef"}
    assert task.error is not None


async def test_metadata_is_looked_up_where_the_definition_says(keeping: Stack) -> None:
    """In the start object's metadata, then in the input; what is nowhere is null."""
    document = definition(
        step("one"), executionLog={"metadata": ["sourceSystem", "customer", "correlationId", "no"]}
    )
    handle = await keeping.start(
        document,
        {"customer": "c-1", "sourceSystem": "of the input"},
        metadata={"sourceSystem": "shop", "more": 1},
        correlationId="corr",
    )
    await keeping.result(handle)
    assert (await keeping.record(handle)).instance.metadata == {
        "sourceSystem": "shop",
        "customer": "c-1",
        "correlationId": "corr",
        "no": None,
        "more": 1,
    }
