"""Where Temporal's test server comes from, and that it is gone when it is not needed any more."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from adapters.processes.child import wait_until_gone
from adapters.temporal.time_skipping import VERSION, TimeSkippingServer, find_or_install
from definitions.errors import UnreachableError

PROGRAM = "#!/bin/sh\n"


def silent(_: str) -> None:
    """Whoever fetches something says so; here nobody listens."""


def program(path: Path, text: str) -> Path:
    """A program that does what the text says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PROGRAM + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_it_listens_until_it_is_stopped() -> None:
    """The process is gone afterwards, and so is its port."""
    server = TimeSkippingServer()
    with server:
        host, _, port = server.address.partition(":")
        with socket.create_connection((host, int(port)), 5):
            pass
        pid = server.pid
    assert wait_until_gone(pid, 5.0)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), 5)


def test_one_that_runs_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by its address, none is started."""
    monkeypatch.setenv("STEPLOOM_TEST_SERVER_ADDRESS", "elsewhere:7233")
    with TimeSkippingServer() as server:
        assert server.address == "elsewhere:7233"


def test_the_jars_of_a_named_folder_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is fetched; a folder without the server is an error that says so."""
    monkeypatch.setenv("STEPLOOM_TEST_SERVER_JARS", str(tmp_path))
    with pytest.raises(UnreachableError, match="has no temporal-test-server") as caught:
        find_or_install(silent)
    assert "STEPLOOM_TEST_SERVER_JARS" in str(caught.value.hint)
    (tmp_path / f"temporal-test-server-{VERSION}.jar").touch()
    command = find_or_install(silent)
    assert command[-2:] == [str(tmp_path / "*"), "io.temporal.testserver.TestServer"]


def test_the_cache_is_filled_by_maven_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second time there is nothing to do."""
    monkeypatch.delenv("STEPLOOM_TEST_SERVER_JARS", raising=False)
    monkeypatch.setenv("STEPLOOM_CACHE_DIR", str(tmp_path / "cache"))
    program(tmp_path / "bin" / "java", "")
    maven = program(
        tmp_path / "bin" / "mvn",
        f"grep -q {VERSION} pom.xml && mkdir libs && touch libs/temporal-test-server-1.jar\n",
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    said: list[str] = []
    first = find_or_install(said.append)
    assert first[0] == str(tmp_path / "bin" / "java")
    assert said == [f"fetching Temporal's test server {VERSION} with Maven, once"]
    maven.unlink()
    assert find_or_install(said.append) == first
    assert len(said) == 1


def test_when_no_way_works_each_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what to do about it."""
    monkeypatch.delenv("STEPLOOM_TEST_SERVER_JARS", raising=False)
    monkeypatch.setenv("STEPLOOM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(UnreachableError) as caught:
        find_or_install(silent)
    assert "`java` and `mvn` are not both on PATH" in str(caught.value)
    assert "Temporal's SDK has none for vax to download" in str(caught.value)
    assert "STEPLOOM_TEST_SERVER_ADDRESS" in str(caught.value.hint)


def test_one_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first line that it wrote, and where the rest is."""
    program(tmp_path / "temporal-test-server", "echo no memory; exit 1\n")
    monkeypatch.setenv("STEPLOOM_TEST_SERVER_JARS", str(tmp_path))
    monkeypatch.delenv("STEPLOOM_TEST_SERVER_ADDRESS", raising=False)
    log = tmp_path / "server.log"
    with pytest.raises(UnreachableError, match="does not start: no memory") as caught:
        TimeSkippingServer(log_file=log).start()
    assert str(log) in str(caught.value.hint)
