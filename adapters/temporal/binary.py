"""Where the ``temporal`` program comes from that runs Temporal's development server.

In this order: ``TEMPORAL_CLI_PATH``, PATH, our cache, built with Go into our cache, downloaded by
Temporal's SDK into our cache. The last two need the network, once. Building takes minutes, so it
says what it does; ``python -m adapters.temporal.binary`` does it beforehand.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.processes.cache import WayFailedError, alone, cache_dir
from adapters.processes.child import Child
from definitions.errors import SteploomError, UnreachableError

if TYPE_CHECKING:
    from adapters.processes.cache import Progress

#: Later ones cannot be installed by name: their go.mod has replacements.
VERSION = "1.5.1"
_WHAT = "Temporal's development server"
_MODULE = "github.com/temporalio/cli"
_BUILD_SECONDS = 1800.0
_DOWNLOAD_SECONDS = 600.0
_REPORT_EVERY = 1.0


def find_temporal() -> Path | None:
    """A ``temporal`` program that is here already.

    Raises:
        UnreachableError: ``TEMPORAL_CLI_PATH`` names something else.
    """
    named = os.environ.get("TEMPORAL_CLI_PATH")
    if named:
        if _is_temporal(Path(named)):
            return Path(named)
        raise UnreachableError(
            "Temporal",
            f"TEMPORAL_CLI_PATH names {named}, which is not a `temporal` program that runs",
            hint="unset it, or name the program itself",
        )
    on_path = shutil.which("temporal")
    if on_path is not None and _is_temporal(Path(on_path)):
        return Path(on_path)
    cached = _cached()
    return cached if cached.is_file() else None


def find_or_install_temporal(progress: Progress) -> Path:
    """A ``temporal`` program, made if there is none.

    Args:
        progress: Told in a sentence what is going on, about once a second while it builds.

    Raises:
        UnreachableError: No way worked; the message has the reason of each.
    """
    found = find_temporal()
    if found is not None:
        return found
    reasons: list[str] = []
    cached = _cached()
    with alone(cached.parent, service="Temporal", what=_WHAT, progress=progress):
        if cached.is_file():  # another process made it while we waited
            return cached
        for way in (_build_with_go, _download_with_sdk):
            try:
                way(cached, progress)
            except WayFailedError as failure:
                reasons.append(str(failure))
                progress(str(failure))
            else:
                return cached
    raise UnreachableError(
        "Temporal",
        "there is no `temporal` program to run a development server with: " + "; ".join(reasons),
        hint="install Temporal's CLI and put it on PATH or into TEMPORAL_CLI_PATH, or set "
        "STEPLOOM_TEMPORAL_ADDRESS to a server that runs",
    )


def at_most_every(seconds: float, progress: Progress) -> Progress:
    """The same progress, for where each call makes a line: what only counts on is said rarely."""
    said: dict[str, float] = {}

    def seldom(text: str) -> None:
        what = text.partition("(")[0]
        now = time.monotonic()
        if now - said.get(what, float("-inf")) >= seconds:
            said[what] = now
            progress(text)

    return seldom


def _cached() -> Path:
    return cache_dir() / "temporal" / VERSION / "temporal"


def _is_temporal(program: Path) -> bool:
    try:
        answer = subprocess.run(  # noqa: S603 (a list, no shell)
            [str(program), "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.stdout.startswith("temporal version")


def _build_with_go(target: Path, progress: Progress) -> None:
    go = shutil.which("go")
    if go is None:
        raise WayFailedError("it cannot be built, since there is no Go (1.24 or newer) on PATH")
    folder = target.parent
    log = folder / "build.log"
    made_in = folder / f"build.{os.getpid()}"
    made_in.mkdir(exist_ok=True)
    command = [
        go,
        "install",
        "-ldflags",
        f"-s -w -X {_MODULE}/temporalcli.Version={VERSION}",
        f"{_MODULE}/cmd/temporal@v{VERSION}",
    ]
    # GOFLAGS of a project around us (-mod=vendor, say) would break this.
    environment = {**os.environ, "GOBIN": str(made_in), "GOFLAGS": ""}
    try:
        log.unlink(missing_ok=True)
        build = Child(command, cwd=made_in, env=environment, log=log, grace=2.0)
        try:
            code = _wait_telling(build, progress)
        finally:
            build.stop()
        made = made_in / "temporal"
        if code != 0 or not made.is_file():
            raise WayFailedError(f"building it with Go failed: {_last_line(log)} (see {log})")
        made.rename(target)
    finally:
        shutil.rmtree(made_in, ignore_errors=True)


def _wait_telling(build: Child, progress: Progress) -> int | None:
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < _BUILD_SECONDS:
        progress(
            f"building Temporal's development server with Go, once, "
            f"2 to 10 minutes ({elapsed:.0f} s so far)"
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            return build.wait(_REPORT_EVERY)
    return None


def _download_with_sdk(target: Path, progress: Progress) -> None:
    """Let the SDK download the program. It does so only as part of starting a server."""
    progress("downloading Temporal's development server with Temporal's SDK")
    folder = target.parent / f"download.{os.getpid()}"
    folder.mkdir(exist_ok=True)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(asyncio.wait_for(_start_and_stop(folder), _DOWNLOAD_SECONDS))
        except Exception as error:  # noqa: BLE001 (the SDK's own errors are RuntimeErrors and more)
            failures.append(error)

    try:
        # A thread, for whoever calls us may have an event loop already.
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failures:
            raise WayFailedError(f"downloading it failed: {_short(failures[0])}")
        made = next((file for file in folder.glob("temporal*") if os.access(file, os.X_OK)), None)
        if made is None:
            raise WayFailedError("downloading it left no program behind")
        made.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _start_and_stop(folder: Path) -> None:
    # Imported here: the SDK takes half a second to load, and is needed in this rare case alone.
    from temporalio.testing import WorkflowEnvironment  # noqa: PLC0415

    environment = await WorkflowEnvironment.start_local(
        download_dest_dir=str(folder), dev_server_download_version=f"v{VERSION}"
    )
    await environment.shutdown()


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _main() -> int:
    """Prepare the program and say on stderr what goes on: one line, or one every 15 s in a log."""
    live = sys.stderr.isatty()

    def show(text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}" if live else f"{text}\n")
        sys.stderr.flush()

    progress = show if live else at_most_every(15.0, show)
    try:
        find_or_install_temporal(progress)
    except SteploomError as error:
        sys.stderr.write(f"\n{error.message}\n{error.hint}\n")
        return 4
    finally:
        if live:
            sys.stderr.write("\r\x1b[K")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
