"""``steploom events send``, ``dead`` and ``retry``, as somebody types them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.e2e.conftest import ORDER

if TYPE_CHECKING:
    from tests.e2e.live import Live


def paid(kind: str, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": str(uuid4()), "source": "/shop", "type": kind, "data": data,
    }  # fmt: skip


def test_an_event_its_dead_letter_and_the_retry(live: Live) -> None:
    """What starts is told, what does not is told with the reason, and is mended."""
    name = f"paid-{uuid4().hex[:8]}"
    kind = f"{name}.order.paid"
    transform = {"type": "jmespath", "expression": "{amount: to_number(data.amount)}"}
    trigger = {"eventPattern": f"{name}.**", "transform": transform}
    document = {**ORDER, "workflowId": name, "triggers": [trigger]}
    live.steploom("register", live.write(f"{name}.json", document), "--tasks", "shop_tasks")
    event = live.write("event.json", paid(kind, amount="20.5"))

    sent = live.json("events", "send", event)
    [run] = sent["started"]
    assert (run["workflowId"], run["existing"], sent["refused"]) == (name, False, [])
    live.wait_for(run["executionId"], "completed")
    query = "SELECT * FROM workflow_instances WHERE execution_id = %s"
    row = live.row(query, run["executionId"])
    assert row["output"] == {"charged": 20.5}
    assert str(row["trigger_event_id"]) == sent["eventId"]
    [again] = live.json("events", "send", event)["started"]
    assert (again["executionId"], again["existing"]) == (run["executionId"], True)

    wrong = live.write("wrong.json", paid(kind, amount="much"))
    refused = live.json("events", "send", wrong, code=1)
    [letter] = refused["refused"]
    assert (refused["started"], letter["code"]) == ([], "unusable_input")
    assert live.json("events", "dead")[0]["id"] == letter["id"]
    shown = live.steploom("events", "dead").stdout
    assert letter["id"][:8] in shown
    assert "unusable_input" in shown

    told = live.steploom("events", "retry", letter["id"][:8], code=1).stdout
    assert "has failed again" in told
    assert "amount must be a number" in told
    transform["expression"] = "{amount: `1`}"
    document["version"] = "1.1.0"
    live.steploom("register", live.write(f"{name}.json", document), "--tasks", "shop_tasks")
    told = live.steploom("events", "retry", "--all").stdout
    assert "is resolved" in told
    assert f"{name} 1.1.0" in told
    assert live.json("events", "dead") == []
    assert letter["id"] in {one["id"] for one in live.json("events", "dead", "--resolved")}
    assert live.steploom("events", "retry", "--all").stdout == "There is nothing to retry.\n"


def test_what_is_no_event_is_refused_at_once(live: Live) -> None:
    """And is no dead letter: whoever sent it knows."""
    wrong = {**paid("order.paid"), "specversion": "0.3"}
    done = live.steploom("events", "send", live.write("wrong.json", wrong), code=2)
    assert "specversion" in done.stderr
    live.steploom("events", "send", "nowhere.json", code=2)
    assert live.json("events", "dead") == []
    nothing = live.steploom("events", "send", live.write("e.json", paid("nobody.waits"))).stdout
    assert nothing.startswith("Nothing to start")


def test_what_retry_needs(live: Live) -> None:
    """Letters, or all of them; those that there are."""
    live.steploom("events", "retry", code=2)
    live.steploom("events", "retry", "abc", "--all", code=2)
    live.steploom("events", "retry", "abc", code=3)
    error = live.steploom("consume", "--output", "json", code=2).error
    assert "no topic" in error["message"]
    error = live.steploom("consume", "--topic", "t", "--output", "json", code=4).error
    assert "no Kafka is set up" in error["message"]
