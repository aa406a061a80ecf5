"""``configs`` and ``channels`` on a real database: what they store, print and refuse."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapters.postgres.database import Database
from adapters.postgres.definitions import PostgresDefinitionStore
from definitions.validation.api import parse_definition
from tests.integration.facts import DEFAULT
from tests.unit.cli import run

if TYPE_CHECKING:
    from tests.unit.cli import Run

__all__ = ["run"]

DOCUMENT = {
    "workflowId": "refund",
    "name": "Refund",
    "version": "1.0.0",
    "steps": [{"stepId": "pay", "taskId": "core.noop"}],
}
ACTOR = "manager@example.com"


@pytest.fixture
def cli(run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands on a database with the definition ``refund``, a user and a second org."""

    async def prepare() -> None:
        async with Database(database_url) as database:
            store = PostgresDefinitionStore(database)
            await store.create_user(DEFAULT, ACTOR)
            await store.create_org("acme")
            await store.register(DEFAULT, parse_definition(DOCUMENT), DOCUMENT)

    asyncio.run(prepare())
    monkeypatch.setenv("STEPLOOM_DATABASE_URL", database_url)
    return run


def as_json(cli: Run, *args: str) -> Any:
    """What a command prints with ``--output json``."""
    done = cli(*args, "--output", "json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_a_configuration_is_made_and_activated(cli: Run) -> None:
    """In two commands or in one; the list says what counts, since when and by whom."""
    first = cli("configs", "create", '{"limit": 1}', "--workflow", "refund", "--as", ACTOR)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.startswith("Stored version 1 of the configuration of refund (")
    assert "`steploom configs activate" in first.stdout
    [made] = as_json(cli, "configs", "list")
    assert (made["active"], made["data"], made["createdBy"]) == (False, {"limit": 1}, ACTOR)
    done = cli("configs", "activate", str(made["id"]), "--as", ACTOR)
    assert done.stdout == "Version 1 of the configuration of refund is active.\n"
    second = as_json(
        cli, "configs", "create", '{"limit": 2}', "--channel", "voice", "--workflow", "refund",
        "--activate", "--name", "spring",
    )  # fmt: skip
    assert (second["active"], second["channel"], second["name"]) == (True, "voice", "spring")
    as_json(cli, "configs", "create", "{}", "--channel", "web")
    active = as_json(cli, "configs", "list", "--active")
    assert [(one["channel"], one["activatedBy"]) for one in active] == [
        (None, ACTOR),
        ("voice", None),
    ]
    assert len(as_json(cli, "configs", "list", "--workflow", "refund")) == 2
    table = cli("configs", "list").stdout
    assert "refund on voice" in table
    assert '{"limit": 2}' in table


def test_a_configuration_is_read_from_a_file(cli: Run) -> None:
    """Or from standard input."""
    Path("limits.json").write_text('{"limit": 3}', encoding="utf-8")
    assert as_json(cli, "configs", "create", "@limits.json")["data"] == {"limit": 3}
    assert as_json(cli, "configs", "create", "@limits.json")["version"] == 2


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["configs", "create", "[1]"], 2, "has to be a JSON object"),
        (["configs", "create", "{"], 2, "is no JSON"),
        (["configs", "create", "{}", "--channel", "pigeon"], 2, "web, voice, efax"),
        (["configs", "create", "{}", "--workflow", "nobody"], 3, "'nobody' not found"),
        (["configs", "create", "{}", "--name", "x" * 300], 2, "it can have 1 to 255"),
        (["configs", "create", json.dumps({"a": "x" * 70_000})], 2, "at most 65536"),
        (["configs", "create", '{"a": [{"apiKey": "planted"}]}'], 2, "/a/0/apiKey"),
        (["configs", "activate", "4711"], 3, "`steploom configs list`"),
        (["configs", "activate", "9" * 30], 3, "`steploom configs list`"),
        (["configs", "list", "--workflow", "nobody"], 3, "'nobody' not found"),
        (["configs", "list", "--org", "nobody"], 3, "`steploom orgs list`"),
        (["channels", "set", "pigeon"], 2, "web, voice, efax"),
        (["channels", "set", "web", "--priority", "1"], 2, "--workflow"),
        (["channels", "set", "web", "--workflow", "nobody"], 3, "'nobody' not found"),
        (["channels", "set", "web", "--workflow", "refund", "--priority", str(2**40)], 2, "range"),
        (["channels", "set", "web", "--data", '{"token": "planted"}'], 2, "/token"),
        (["channels", "list", "--workflow", "nobody"], 3, "'nobody' not found"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused(cli: Run, args: list[str], code: int, said: str) -> None:
    """With what is wrong and what to do; nothing is stored, and no secret printed."""
    done = cli(*args)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    assert "planted" not in done.stderr
    assert as_json(cli, "configs", "list") == []
    assert as_json(cli, "channels", "list") == []


def test_a_secret_by_reference_is_taken(cli: Run) -> None:
    """Also within a longer text."""
    data = {"apiKey": "secret://bank", "authorization": "Bearer secret://bank"}
    assert as_json(cli, "configs", "create", json.dumps(data))["data"] == data


def test_another_orgs_configuration_is_not_found(cli: Run) -> None:
    """Neither seen nor activated."""
    made = as_json(cli, "configs", "create", "{}")
    assert as_json(cli, "configs", "list", "--org", "acme") == []
    done = cli("configs", "activate", str(made["id"]), "--org", "acme")
    assert done.exit_code == 3
    assert cli("channels", "set", "web", "--workflow", "refund", "--org", "acme").exit_code == 3


def test_what_is_not_said_of_a_channel_stays(cli: Run) -> None:
    """Each ``set`` changes what it names alone."""
    of = ["channels", "set", "voice", "--workflow", "refund"]
    url = "https://example.com/ended?key=secret://hook"
    made = as_json(cli, *of, "--priority", "9", "--webhook", url, "--data", '{"a": 1}')
    assert (made["enabled"], made["priority"], made["webhookUrl"]) == (True, 9, url)
    done = cli(*of, "--disable")
    assert done.stdout == "The channel voice of refund is disabled.\n"
    kept = as_json(cli, "channels", "list", "--workflow", "refund")
    assert [(one["enabled"], one["priority"], one["webhookUrl"], one["data"]) for one in kept] == [
        (False, 9, url, {"a": 1})
    ]
    changed = as_json(cli, *of, "--enable", "--no-webhook", "--priority", "0", "--data", "{}")
    assert (changed["enabled"], changed["priority"], changed["webhookUrl"], changed["data"]) == (
        True, 0, None, {},
    )  # fmt: skip


def test_a_channel_can_be_the_whole_orgs(cli: Run) -> None:
    """Without a workflow: whether it is used, and what is configured on it."""
    done = cli("channels", "set", "efax", "--disable")
    assert done.stdout == "The channel efax of all workflows is disabled.\n"
    assert as_json(cli, "channels", "set", "efax", "--data", '{"a": 1}')["enabled"] is False
    as_json(cli, "channels", "set", "efax", "--workflow", "refund")
    found = as_json(cli, "channels", "list")
    assert [(one["workflowName"], one["enabled"], one["data"]) for one in found] == [
        (None, False, {"a": 1}),
        ("refund", True, {}),
    ]
    table = cli("channels", "list").stdout
    assert "efax" in table
    assert "disabled" in table


def test_a_webhook_that_is_allowed_is_taken(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Link-local where the setting allows it; other private addresses are the workers' to judge."""
    of = ["channels", "set", "web", "--workflow", "refund", "--webhook"]
    assert as_json(cli, *of, "http://10.1.2.3/")["webhookUrl"] == "http://10.1.2.3/"
    url = "http://169.254.7.7/"
    assert cli(*of, url).exit_code == 2
    monkeypatch.setenv("STEPLOOM_HTTP_ALLOW", "169.254.7.0/24")
    assert as_json(cli, *of, url)["webhookUrl"] == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.com/", "an http or https URL"),
        ("example.com/ended", "an http or https URL"),
        ("https://", "an http or https URL"),
        ("https://example.com/" + "x" * 3000, "an http or https URL"),
        ("https://[::1", "cannot be read"),
        ("https://example.com:99999999/", "cannot be read"),
        ("https://ann:planted@example.com/", "looks like a secret"),
        ("https://example.com/?token=planted", "looks like a secret"),
        ("http://169.254.169.254/latest", "is at 169.254.169.254, an address that is not public"),
        ("http://2852039166/latest", "is at 169.254.169.254, an address that is not public"),
        ("http://[fe80::1]/", "is at fe80::1, an address that is not public"),
        ("http://[fe80::1%25eth0]:80/", "is at fe80::1, an address that is not public"),
        ("http://[::ffff:169.254.0.1]/", "is at 169.254.0.1, an address that is not public"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused(cli: Run, url: str, said: str) -> None:
    """Before it is stored; a secret is not stored, and not printed either."""
    done = cli("channels", "set", "web", "--workflow", "refund", "--webhook", url)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "planted" not in done.stderr
    assert as_json(cli, "channels", "list") == []
