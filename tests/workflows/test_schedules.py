"""Schedules on a real Temporal: executions that start by the clock, and leave their records."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from definitions.errors import ConflictError, InvalidInputError, NotFoundError
from definitions.references import KEY
from steploom.operations.orgs import find_org
from steploom.operations.overlaps import Overlap
from steploom.operations.schedules import (
    Timing,
    create_schedule,
    delete_schedule,
    every,
    list_schedules,
    pause_schedule,
    resume_schedule,
    show_schedule,
    trigger_schedule,
)
from steploom.operations.starting import parse_start
from steploom.services import open_services
from tests.workflows.documents import definition, step
from tests.workflows.stack import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from definitions.ports import Organization
    from definitions.views import InstanceView
    from steploom.operations.schedules import ScheduleView
    from steploom.services import Services
    from tests.workflows.stack import Stack

HOURLY = Timing(every="PT1H")


@asynccontextmanager
async def opened(
    stack: Stack, org: str = "default", *, database: bool = True
) -> AsyncIterator[tuple[Services, Organization]]:
    settings = stack.settings(
        task_queue=stack.task_queue, database_url=SecretStr(stack.url) if database else None
    )
    async with open_services(settings, {"temporal", "postgres"} if database else {"temporal"}) as s:
        yield s, await find_org(s, org)


async def registered(stack: Stack, **fields: Any) -> str:
    document = definition(
        step("a", output={"n": "${input.n}"}),
        inputSchema={"type": "object", "properties": {"n": {"type": "integer"}}},
        **fields,
    )
    await stack.register(document)
    return str(document["workflowId"])


def name() -> str:
    return f"s-{uuid4().hex[:10]}"


async def make(
    services: Services, org: Organization, schedule: str, workflow: str, timing: Timing,
    *, given: Any = None, paused: bool = False, note: str | None = None, **fields: Any,
) -> ScheduleView:  # fmt: skip
    own = None if org.slug == "default" else org.slug
    request = parse_start(
        {"workflowId": workflow, "input": given, "userId": "ann", "orgId": own, **fields}
    )
    return await create_schedule(services, org, schedule, request, timing, paused=paused, note=note)


async def runs_of(stack: Stack, org: Organization, workflow: str) -> list[InstanceView]:
    page = await stack.reader.list_instances(org.id, workflow_id=workflow)
    return [await stack.reader.find_instance(org.id, str(one.id)) for one in page.items]


async def test_executions_by_the_clock(stack: Stack) -> None:
    """Each has an id and a record of its own; paused it starts none, deleted it is not found."""
    workflow, schedule = await registered(stack), name()
    async with opened(stack) as (services, org):
        made = await make(
            services, org, schedule, workflow, Timing(every="1s"), given={"n": 4}, tags={"a": "b"}
        )
        assert (made.every, made.workflow_id, made.created_by) == ("PT1S", workflow, "ann")

        async def two() -> list[InstanceView] | None:
            found = [one for one in await runs_of(stack, org, workflow) if one.status.ended]
            return found if len(found) >= 2 else None

        found = await until(two)
        assert len({one.execution_id for one in found}) == len(found)
        for one in found:
            assert one.execution_id.startswith(f"{schedule}-20")
            assert (one.output, one.user_id, one.tags) == ({"n": 4}, "ann", {"a": "b"})
            described = await stack.client.get_workflow_handle(one.execution_id).describe()
            assert described.search_attributes["SteploomOrg"] == ["default"]
            assert described.search_attributes["SteploomDefinition"] == [workflow]
        view = await pause_schedule(services, org, schedule, actor="ann", reason="too many")
        assert (view.paused, view.note, view.input) == (True, "paused by ann: too many", {"n": 4})
        assert view.recent
        starts = view.starts
        # By hand it starts one all the same, and no other comes.
        await trigger_schedule(services, org, schedule)

        async def one_more() -> bool:
            return (await show_schedule(services, org, schedule)).starts != starts

        await until(one_more)
        assert (await show_schedule(services, org, schedule)).starts == (starts or 0) + 1
        assert not (await resume_schedule(services, org, schedule, actor="ann")).paused
        await delete_schedule(services, org, schedule)
        for asked in (show_schedule, trigger_schedule, delete_schedule):
            with pytest.raises(NotFoundError, match=schedule):
                await asked(services, org, schedule)


async def test_it_is_listed(stack: Stack) -> None:
    """In its own org alone, with when it comes next."""
    workflow, schedule = await registered(stack), name()
    other_name = f"other-{uuid4().hex[:8]}"
    await stack.store.create_org(other_name)
    async with opened(stack) as (services, org), opened(stack, other_name) as (others, other):
        timing = Timing(cron="0 6 * * 1-5", timezone="Europe/Paris", overlap=Overlap.BUFFER_ONE)
        await make(services, org, schedule, workflow, timing, paused=True, version="1.0.0")
        try:

            async def listed() -> ScheduleView | None:
                found = {one.id: one for one in await list_schedules(services, org)}
                return found.get(schedule)

            one = await until(listed)
            assert (one.cron, one.timezone, one.overlap) == (
                "0 6 * * 1-5", "Europe/Paris", "buffer_one",
            )  # fmt: skip
            assert (one.workflow_id, one.version, one.paused) == (workflow, "1.0.0", True)
            assert one.next
            assert await list_schedules(others, other) == []
            with pytest.raises(NotFoundError):
                await show_schedule(others, other, schedule)
            with pytest.raises(NotFoundError):
                await pause_schedule(others, other, schedule, actor="bob")
            with pytest.raises(NotFoundError):
                await delete_schedule(others, other, schedule)
            with pytest.raises(NotFoundError):
                await show_schedule(others, other, f"../{org.slug}:{schedule}")
        finally:
            await delete_schedule(services, org, schedule)


async def test_two_orgs_use_the_same_name(stack: Stack) -> None:
    """Their schedules and their executions stay apart."""
    schedule, other_name = name(), f"other-{uuid4().hex[:8]}"
    made = await stack.store.create_org(other_name)
    workflow = await registered(stack)
    document = await stack.store.get((await stack.store.find_org("default")).id, workflow, None)
    from definitions.validation.api import parse_definition  # noqa: PLC0415

    await stack.store.register(made.id, parse_definition(document.document), document.document)
    async with opened(stack) as (services, org), opened(stack, other_name) as (others, other):
        await make(services, org, schedule, workflow, HOURLY)
        await make(others, other, schedule, workflow, HOURLY)
        await trigger_schedule(services, org, schedule)
        await trigger_schedule(others, other, schedule)
        for whose in (org, other):

            async def one(whose: Organization = whose) -> list[InstanceView]:
                return [x for x in await runs_of(stack, whose, workflow) if x.status.ended]

            [run] = await until(one)
            assert run.execution_id.startswith(
                schedule if whose is org else f"{other_name}:{schedule}"
            )
        await delete_schedule(services, org, schedule)
        assert (await show_schedule(others, other, schedule)).id == schedule
        await delete_schedule(others, other, schedule)


@pytest.mark.parametrize(
    ("timing", "told"),
    [
        (Timing(cron="61 * * * *"), "Temporal refuses"),
        (Timing(cron="never"), "Temporal refuses"),
        (Timing(cron="@daily", timezone="Nowhere/Town"), "Temporal refuses"),
        (Timing(), "it is not said when"),
        (Timing(cron="@daily", every="PT1H"), "and not both"),
        (Timing(every="PT0.5S"), "a second at least"),
        (Timing(every="999999999h"), "100 years at most, not 999999999h"),
        (Timing(every="900000h"), "100 years at most, not 900000h"),
        (Timing(every="P40000D"), "longer than 100 years"),
        (Timing(every="P1M"), "has years or months"),
        (Timing(every="soon"), "not an ISO 8601 duration"),
        (Timing(every=""), "not an ISO 8601 duration"),
        (Timing(every="PT1H", timezone="UTC"), "time zone"),
    ],
)
async def test_an_unusable_timing_makes_nothing(stack: Stack, timing: Timing, told: str) -> None:
    """It is said what is wrong, and there is no schedule afterwards."""
    workflow, schedule = await registered(stack), name()
    async with opened(stack) as (services, org):
        with pytest.raises(InvalidInputError, match=told):
            await make(services, org, schedule, workflow, timing)
        with pytest.raises(NotFoundError):
            await show_schedule(services, org, schedule)


async def test_what_else_is_refused(stack: Stack) -> None:
    """A bad id, an id twice, an unknown definition or version, an input that does not fit."""
    workflow, schedule = await registered(stack), name()
    async with opened(stack) as (services, org):
        for bad in ("", "a b", "a:b", "x" * 129, ".a"):
            with pytest.raises(InvalidInputError, match="cannot name"):
                await make(services, org, bad, workflow, HOURLY)
        with pytest.raises(NotFoundError):
            await make(services, org, schedule, "no-such-definition", HOURLY)
        with pytest.raises(NotFoundError):
            await make(services, org, schedule, workflow, HOURLY, version="9.0.0")
        with pytest.raises(InvalidInputError, match="inputSchema; no schedule was made"):
            await make(services, org, schedule, workflow, HOURLY, given={"n": "four"})
        with pytest.raises(InvalidInputError, match="reserved; no schedule was made"):
            await make(services, org, schedule, workflow, HOURLY, given={KEY: 1})
        with pytest.raises(InvalidInputError, match="the note has 1001 characters, at most 1000"):
            await make(services, org, schedule, workflow, HOURLY, note="n" * 1001)
        with pytest.raises(InvalidInputError, match="once only"):
            await make(services, org, schedule, workflow, HOURLY, idempotencyKey="k")
        made = await make(services, org, schedule, workflow, HOURLY, note="n" * 1000)
        assert made.note == "n" * 1000
        with pytest.raises(ConflictError):
            await make(services, org, schedule, workflow, HOURLY)
        await delete_schedule(services, org, schedule)


async def test_without_a_database(stack: Stack) -> None:
    """It can be made unchecked; the executions are checked when they start."""
    schedule = name()
    async with opened(stack, database=False) as (services, org):
        made = await make(services, org, schedule, "no-such-definition", HOURLY, paused=True)
        assert (made.paused, made.version) == (True, None)
        await delete_schedule(services, org, schedule)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT15M", 900),
        ("15m", 900),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("1s500ms", 1.5),
        ("P1D", 86400),
    ],
)
def test_intervals(text: str, seconds: float) -> None:
    """In ISO 8601, and as Go writes them."""
    assert every(text) == timedelta(seconds=seconds)
