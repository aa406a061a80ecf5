"""The step of the benchmark as tasks of ours, one for each way of running."""

from __future__ import annotations

from steploom import task


@task("bench.add-local", mode="local")
async def add_local(given: dict[str, int]) -> dict[str, int]:
    """Adds one."""
    return {"n": given["n"] + 1}


@task("bench.add-remote")
async def add_remote(given: dict[str, int]) -> dict[str, int]:
    """Adds one."""
    return {"n": given["n"] + 1}
