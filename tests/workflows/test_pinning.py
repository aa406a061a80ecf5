"""A run follows the definition that it started with, whatever happens to it meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.canonical import content_hash
from tests.workflows.documents import definition, step

if TYPE_CHECKING:
    from tests.workflows.stack import Stack


async def test_a_new_version_does_not_touch_a_run_that_waits(stack: Stack) -> None:
    """The waiting run ends by the old version; the next one starts with the new."""
    old = definition(
        step("ask", "core.approval"),
        step("say", "test.echo", input={"version": "old"}),
    )
    await stack.register(old)
    first = await stack.start(old["workflowId"])
    await stack.waits(first, "ask")

    new = {
        **old,
        "version": "1.1.0",
        "steps": [step("say", "test.echo", input={"version": "new"})],
    }
    await stack.register(new)
    second = await stack.start(old["workflowId"])
    assert await stack.result(second) == {"version": "new"}
    third = await stack.start(old["workflowId"], version="1.0.0")
    await stack.waits(third, "ask")

    for handle in (first, third):
        await stack.decide(handle, "ask")
        assert await stack.result(handle) == {"version": "old"}
        instance = (await stack.record(handle)).instance
        assert (instance.version, instance.content_hash) == ("1.0.0", content_hash(old))
    instance = (await stack.record(second)).instance
    assert (instance.version, instance.content_hash) == ("1.1.0", content_hash(new))


async def test_no_version_means_the_highest(stack: Stack) -> None:
    """By semantic versioning, pre-releases after all others."""
    document = definition(step("say", "test.echo", input={"v": "${workflow.version}"}))
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1"):
        await stack.register({**document, "version": version})
    result, _ = await stack.run(document["workflowId"])
    assert result == {"v": "1.10.0"}
    result, _ = await stack.run(document["workflowId"], version="2.0.0-rc.1")
    assert result == {"v": "2.0.0-rc.1"}


async def test_an_inline_definition_does_not_change_what_is_registered(stack: Stack) -> None:
    """It is stored as an unlisted version, under its own hash."""
    listed = definition(step("say", "test.echo", input={"from": "store"}))
    await stack.register(listed)
    inline = {**listed, "steps": [step("say", "test.echo", input={"from": "inline"})]}
    result, record = await stack.run(inline)
    assert result == {"from": "inline"}
    assert record.instance.content_hash == content_hash(inline)
    result, record = await stack.run(listed["workflowId"])
    assert result == {"from": "store"}
    assert record.instance.content_hash == content_hash(listed)
