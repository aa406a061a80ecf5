"""The task of purchase.json, for `steploom dev --tasks purchase_tasks`."""

from __future__ import annotations

from pydantic import BaseModel

from steploom import TaskContext, TaskError, task


class Wanted(BaseModel):
    """What to reserve."""

    item: str


class Reserved(BaseModel):
    """What was reserved."""

    reservation: str


@task("reserve-stock")
def reserve_stock(wanted: Wanted, context: TaskContext) -> Reserved:
    """Reserves an item. The first attempt fails, so that there is a retry to be seen."""
    if context.attempt == 1:
        raise TaskError("the warehouse does not answer", type="WarehouseError", code="503")
    # The same on each attempt: a system that is called twice can tell that it is one purchase.
    return Reserved(reservation=f"{wanted.item}/{context.idempotency_key[-12:]}")
