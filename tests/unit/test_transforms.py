"""Transforms are evaluated where nothing that they do can hurt anybody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from adapters.processes.child import wait_until_gone
from adapters.transforms.pool import TransformError, Transforms
from definitions.document import Transform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

EVENT = {"type": "order.paid", "data": {"amount": 42, "lines": [{"n": 1}, {"n": 2}]}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def transforms() -> AsyncIterator[Transforms]:
    async with Transforms(1) as pool:
        yield pool


def a(kind: Any, expression: str) -> Transform:
    return Transform.model_validate({"type": kind, "expression": expression})


@pytest.mark.parametrize(
    ("kind", "expression", "result"),
    [
        ("jmespath", "{amount: data.amount, all: data.lines[*].n}", {"amount": 42, "all": [1, 2]}),
        ("jmespath", "data.missing", None),
        ("jsonata", '{"amount": data.amount, "sum": $sum(data.lines.n)}', {"amount": 42, "sum": 3}),
        ("jsonata", "data.missing", None),
        ("jsonata", '{"a": null, "b": "", "c": [null, ""]}', {"a": None, "b": "", "c": [None, ""]}),
    ],
)
async def test_what_they_make(
    transforms: Transforms, kind: str, expression: str, result: object
) -> None:
    """Both languages see the event and give JSON."""
    assert await transforms.apply(a(kind, expression), EVENT) == result


@pytest.mark.parametrize(
    ("kind", "expression", "reason"),
    [
        ("jmespath", "length(data.amount)", "the transform fails: In function length"),
        ("jsonata", "data.amount & $uppercase(data.amount)", "the transform fails: "),
        ("jsonata", "function($x) { $x }", "its result is a function, or has one in it"),
        ("jsonata", "$sum", "its result is a function, or has one in it"),
        ("jsonata", '{"a": null, "b": [1, {"c": $sum}]}', "its result is a function, or has one"),
        ("jsonata", '{"a": /x/}', "its result is a function, or has one in it"),
        ("jsonata", '$pad("x", 300000)', "its result has 300002 bytes, at most 262144"),
        ("jsonata", '$pad("x", 1e9)', "the transform takes too much memory"),
        ("jmespath", "|".join(["[@,@][]"] * 40), "takes (too much memory|more than 2 seconds)"),
        ("jsonata", "($f := function($x) { $f($x + 1) + 1 }; $f(0))", "the transform "),
        ("jsonata", "($f := function($x) { $f($x) }; $f(0))", "the transform "),
    ],
)
async def test_what_goes_wrong(
    transforms: Transforms, kind: str, expression: str, reason: str
) -> None:
    """A bomb ends in an error, in time, and the next transform works."""
    with pytest.raises(TransformError, match=reason):
        await transforms.apply(a(kind, expression), EVENT)
    assert await transforms.apply(a("jmespath", "data.amount"), EVENT) == 42


async def test_a_result_passes_the_gate(transforms: Transforms) -> None:
    """What no input can hold is refused: here, objects too deep."""
    deep = "data.amount"
    for _ in range(70):
        deep = f"[{deep}]"
    with pytest.raises(TransformError, match="more than 64 deep"):
        await transforms.apply(a("jmespath", deep), EVENT)


_PARENT = """
import asyncio, sys
from adapters.transforms.pool import Transforms
from definitions.document import Transform

async def main():
    pool = Transforms(1, deadline=600)
    await pool.apply(Transform(type="jmespath", expression="a"), {})
    [child] = pool._children
    print(child._process.pid, flush=True)
    if sys.argv[1] == "busy":
        endless = "($f := function($x) { $f($x) }; $f(0))"
        await pool.apply(Transform(type="jsonata", expression=endless), {})
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_child_outlives_its_parent(tmp_path: Path, state: str) -> None:
    """Killed without a word, the parent leaves nothing running."""
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script), state],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    if state == "busy":
        time.sleep(0.3)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert wait_until_gone(child, 30)
