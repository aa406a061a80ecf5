"""The worker in Go, built once into the cache: the next session with the same sources has it."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from concurrent.futures import Future
from pathlib import Path

from adapters.processes.cache import cache_dir
from adapters.processes.child import Child

SOURCES = Path(__file__).with_name("goworker")
#: With an empty cache of Go's it compiles Temporal's SDK, which takes a minute or two.
_BUILD_SECONDS = 900.0


def start_build() -> Future[Path] | None:
    """Begins to build in the background; None where there is no Go."""
    go = shutil.which("go")
    if go is None:
        return None
    built: Future[Path] = Future()

    def build() -> None:
        try:
            built.set_result(_built(go))
        except BaseException as error:  # noqa: BLE001 (whoever waits for it is told)
            built.set_exception(error)

    # A daemon: a session that ends early does not wait for it, and the child ends with us.
    threading.Thread(target=build, name="go build", daemon=True).start()
    return built


def _built(go: str) -> Path:
    target = cache_dir() / "goworker" / _digest() / "goworker"
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"goworker.{os.getpid()}")
    log = target.with_name("build.log")
    log.unlink(missing_ok=True)
    # GOFLAGS of a project around us (-mod=vendor, say) would break this.
    # It takes both cores of a small machine, on which other tests run meanwhile.
    nice = shutil.which("nice")
    build = Child(
        [
            *((nice, "-n", "10") if nice else ()),
            go,
            "build",
            "-trimpath",
            "-ldflags",
            "-s -w",
            "-o",
            str(partial),
            ".",
        ],
        cwd=SOURCES,
        env={**os.environ, "GOFLAGS": ""},
        log=log,
        grace=2.0,
    )
    try:
        code = build.wait(_BUILD_SECONDS)
    finally:
        build.stop()
    if code != 0:
        raise AssertionError(f"building the worker in Go failed:\n{log.read_text()}")
    partial.rename(target)
    return target


def _digest() -> str:
    digest = hashlib.sha256()
    for file in sorted(SOURCES.iterdir()):
        if file.suffix in {".go", ".mod", ".sum"}:
            digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
