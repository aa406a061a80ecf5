"""Starts several purchases at once, approves each as it waits, and gathers their results."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from steploom import AsyncClient, AsyncExecution

PURCHASE = json.loads((Path(__file__).parent / "purchase.json").read_text())


async def see_through(execution: AsyncExecution) -> Any:
    """Approves a purchase when it waits; returns its output."""
    async for change in execution.watch():
        print(execution.id, change)
        if change.step == "review" and change.status == "waiting":
            await execution.approve("review")
    return await execution.result(timeout=60)


async def main() -> None:
    """Three purchases side by side, by one client."""
    async with AsyncClient.connect(actor="ada@example.com") as client:
        purchases = [
            await client.start(definition=PURCHASE, input={"item": item, "amount": 10})
            for item in ("ink", "paper", "glue")
        ]
        for result in await asyncio.gather(*(see_through(one) for one in purchases)):
            print("result", result)


if __name__ == "__main__":
    asyncio.run(main())
