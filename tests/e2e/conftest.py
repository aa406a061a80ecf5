"""One running ``steploom dev`` for all end-to-end tests of a session."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.e2e.live import ROOT, Live, running_dev, work_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_TASKS = '''
from pydantic import BaseModel
from steploom import TaskContext, TaskError, task


class Order(BaseModel):
    amount: float


@task("charge-card")
def charge_card(order: Order, context: TaskContext) -> dict[str, float]:
    """Charges a card; the second time it works."""
    if context.attempt == 1:
        raise TaskError("bad gateway", type="GatewayError", code="502")
    return {"charged": order.amount}


@task("scan-pages")
def scan_pages() -> dict[str, object]:
    """Pages of two million characters."""
    return {"count": 2, "pages": ["p" * 1_000_000] * 2}


@task("count-letters")
def count_letters(pages: list[str]) -> dict[str, int]:
    """How many there are."""
    return {"letters": sum(map(len, pages))}
'''

#: A task that a worker of another language would serve.
REFUND = {
    "taskId": "refund-card",
    "activity": "RefundCard",
    "taskQueue": "payments",
    "attemptTimeout": "PT20S",
}
ORDER = {
    "workflowId": "order",
    "name": "Order",
    "version": "1.0.0",
    "inputSchema": {
        "type": "object",
        "properties": {"amount": {"type": "number"}},
        "required": ["amount"],
    },
    "steps": [
        {
            "stepId": "charge",
            "taskId": "charge-card",
            "retryPolicy": {"maxAttempts": 3, "delay": "PT0.1S"},
            "next": [
                {"nextStepId": "review", "condition": "data.amount > 1000"},
                {"nextStepId": "done"},
            ],
        },
        {
            "stepId": "review",
            "taskId": "core.approval",
            "input": {
                "title": "An order of ${input.amount}",
                "form": {"properties": {"limit": {"type": "number"}}},
            },
        },
        {"stepId": "done", "taskId": "core.noop"},
    ],
    "output": {"charged": "${data.charged}"},
}


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """The stack, with a task of its own and the definition ``order`` registered."""
    with work_folder() as folder:
        (folder / "shop_tasks.py").write_text(_TASKS)
        (folder / "payments.json").write_text(json.dumps({"tasks": [REFUND]}))
        # The client's examples, as a newcomer copies them.
        shutil.copytree(ROOT / "examples", folder, dirs_exist_ok=True)
        told = [
            "--tasks",
            "shop_tasks",
            "--tasks",
            "purchase_tasks",
            "--catalogue",
            "payments.json",
        ]
        with running_dev(folder, told) as stack:
            stack.write("order.json", ORDER)
            stack.steploom("register", "order.json", "--tasks", "shop_tasks")
            yield stack
