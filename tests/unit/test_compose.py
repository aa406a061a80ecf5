"""The stack's files fit the compose specification and the code, without a Docker engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from worker.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"
ENV_EXAMPLE = ROOT / ".env.example"

#: In the compose file, of the stack and not of the product.
STACK_VARIABLES = {"STEPLOOM_TAG"}

_SCHEMA = ("--builtin-schema", "vendor.compose-spec")

PINNED = re.compile(r"^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)*$")


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    """The compose file, its anchors resolved."""
    loaded = yaml.safe_load(COMPOSE.read_text())
    assert isinstance(loaded, dict)
    return loaded


def _example() -> dict[str, str]:
    lines = [line for line in ENV_EXAMPLE.read_text().splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def _commands(stack: dict[str, Any]) -> list[list[str]]:
    """Every command line in the files that begins with `steploom`."""
    found = [service.get("command", []) for service in stack["services"].values()]
    written = re.findall(r"CMD (\[.*\])", DOCKERFILE.read_text())
    found.extend(yaml.safe_load(text) for text in written)
    return [command for command in found if command and command[0] == "steploom"]


def test_the_compose_file_fits_the_specification() -> None:
    """Checked against the schema of the compose specification that check-jsonschema ships."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *_SCHEMA, str(COMPOSE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_of_ours_is_a_setting() -> None:
    """A STEPLOOM_ variable that no setting reads would be set for nothing."""
    known = {f"STEPLOOM_{name.upper()}" for name in Settings.model_fields}
    for file in (COMPOSE, DOCKERFILE, ENV_EXAMPLE):
        named = set(re.findall(r"\bSTEPLOOM_[A-Z_]+", file.read_text())) - STACK_VARIABLES
        assert named <= known, file.name


def test_every_command_exists(stack: dict[str, Any]) -> None:
    """What the containers run is a command of the command line."""
    from steploom.cli.app import app  # noqa: PLC0415 (the other tests need no command line)

    group: Any = typer.main.get_command(app)
    commands = _commands(stack)
    assert {"worker", "migrate", "relay"} <= {command[1] for command in commands}
    for command in commands:
        assert command[1] in group.commands, command


def test_every_image_is_pinned(stack: dict[str, Any]) -> None:
    """The same file brings up the same versions on every day."""
    images = [service["image"] for service in stack["services"].values() if "build" not in service]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert len(images) >= 6
    for image in images:
        assert PINNED.match(image), image


def test_no_password_is_written_down(stack: dict[str, Any]) -> None:
    """Passwords come from .env and have no default; the file refuses to start without them."""
    for name, service in stack["services"].items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|PWD|SECRET|TOKEN", key):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", str(value)), f"{name}: {key}"
            assert not re.search(r"://[^:/]+:(?!\$\{[A-Z_]+:\?)[^@/]+@", str(value)), (
                f"{name}: {key}"
            )


def test_the_example_has_every_variable_of_the_stack() -> None:
    """Whoever copies .env.example has all there is to set, and nothing that is not used."""
    text = COMPOSE.read_text()
    used = set(re.findall(r"\$\{([A-Z_]+)", text)) - STACK_VARIABLES
    assert used == set(_example())


def test_dependencies_wait_for_health_or_for_the_end(stack: dict[str, Any]) -> None:
    """A service starts when what it needs answers, not when its container exists."""
    services = stack["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services
            if how["condition"] == "service_healthy":
                assert "test" in services[needed]["healthcheck"], f"{name} waits for {needed}"
            else:
                assert how["condition"] == "service_completed_successfully"


def test_the_worker_can_be_scaled(stack: dict[str, Any]) -> None:
    """No fixed name and no port of the host, of which there is only one."""
    worker = stack["services"]["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker


def test_the_image_runs_as_no_root_and_is_checked() -> None:
    """The last stage of the Dockerfile."""
    last = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!root|0)\S+", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "--require-hashes" in DOCKERFILE.read_text()


def test_the_dockerfile_copies_what_exists() -> None:
    """Every path that it copies is in the repository, and none is kept out by .dockerignore."""
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    for line in re.findall(r"^COPY (?!--from)(.+)", DOCKERFILE.read_text(), re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source in allowed, source
