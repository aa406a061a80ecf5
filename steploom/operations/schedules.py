"""Schedules: Temporal's own, that start executions of a definition by the clock.

A schedule is Temporal's alone; nothing of it is in the database. Its id there begins with the org,
so that every org has names of its own and none sees another's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from temporalio.client import (
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.service import RPCError, RPCStatusCode

from definitions.durations import MAX_DURATION, DurationError, format_duration, parse_duration
from definitions.errors import ConflictError, InvalidInputError, NotFoundError
from definitions.names import SEARCH_ORG, WORKFLOW_TYPE
from definitions.providers.durations import GoDuration, GoDurationError, GoDurationTooLongError
from definitions.start import DEFAULT_ORG
from steploom.operations.overlaps import Overlap
from steploom.operations.starting import plan_start, search_attributes
from steploom.operations.temporal import unreachable

if TYPE_CHECKING:
    from temporalio.client import ScheduleDescription, ScheduleHandle

    from definitions.ports import Organization
    from definitions.start import StartRequest
    from steploom.services import Services

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MEMO = "steploomSchedule"
_SHORTEST = timedelta(seconds=1)
_MAX_NOTE = 1000

_POLICIES = {
    Overlap.SKIP: ScheduleOverlapPolicy.SKIP,
    Overlap.BUFFER_ONE: ScheduleOverlapPolicy.BUFFER_ONE,
    Overlap.BUFFER_ALL: ScheduleOverlapPolicy.BUFFER_ALL,
    Overlap.CANCEL_OTHER: ScheduleOverlapPolicy.CANCEL_OTHER,
    Overlap.TERMINATE_OTHER: ScheduleOverlapPolicy.TERMINATE_OTHER,
    Overlap.ALLOW_ALL: ScheduleOverlapPolicy.ALLOW_ALL,
}


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule starts executions: by one of ``cron`` and ``every``.

    ``cron`` is an expression of five to seven fields or ``@daily`` and such, in ``timezone`` (UTC
    if absent); ``every`` an ISO 8601 duration, counted from the Unix epoch.
    """

    cron: str | None = None
    every: str | None = None
    timezone: str | None = None
    overlap: Overlap = Overlap.SKIP


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule. ``recent`` has execution ids, the oldest first, and ``next`` the next times."""

    id: str
    workflow_id: str
    version: str | None
    cron: str | None
    every: str | None
    timezone: str | None
    overlap: str | None
    created_by: str | None
    paused: bool
    note: str | None
    next: Sequence[datetime] = ()
    recent: Sequence[str] = ()
    running: Sequence[str] = ()
    starts: int | None = None
    skipped: int | None = None
    input: Any = None
    created_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """The schedule as JSON values."""
        camel = {
            "workflow_id": "workflowId",
            "created_by": "createdBy",
            "created_at": "createdAt",
        }
        return {camel.get(name, name): _json(value) for name, value in asdict(self).items()}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return [_json(one) for one in value] if isinstance(value, list | tuple) else value


def every(text: str) -> timedelta:
    """An interval in ISO 8601 (``PT15M``) or as Go writes it (``15m``, ``1h30m``).

    Raises:
        InvalidInputError: It is neither, shorter than a second or longer than 100 years.
    """
    interval: timedelta | None = None
    try:
        interval = GoDuration.parse(text).to_timedelta()
    except GoDurationTooLongError:
        pass
    except GoDurationError:
        try:
            interval = parse_duration(text)
        except DurationError as error:
            raise InvalidInputError(f"--every: {error}", hint="give PT15M, or 15m") from None
    if interval is None or not _SHORTEST <= interval <= MAX_DURATION:
        raise InvalidInputError(
            f"--every: an interval is a second at least and 100 years at most, not {text:.80}",
            hint="give PT15M, or 15m",
        )
    return interval


async def create_schedule(
    services: Services,
    org: Organization,
    name: str,
    request: StartRequest,
    timing: Timing,
    *,
    paused: bool = False,
    note: str | None = None,
) -> ScheduleView:
    """Makes a schedule; with a database, once the definition and its input have been checked.

    Args:
        services: Temporal, and Postgres where there is one.
        org: Whose.
        name: Its id: letters, digits, ``_``, ``.`` and ``-``.
        request: What each execution is started with.
        timing: When.
        paused: Whether it waits for ``resume`` first.
        note: Why it is there.

    Raises:
        InvalidInputError: The id, the timing, the note or the input is unusable.
        NotFoundError: No such definition or version.
        ConflictError: There is a schedule of this id.
    """
    if _ID.fullmatch(name) is None:
        raise InvalidInputError(
            f"{name!r:.80} cannot name a schedule: letters, digits, _ . and -, at most 128",
            hint="choose a name such as nightly-report",
        )
    if request.idempotency_key is not None:
        raise InvalidInputError("an idempotency key would let a schedule start once only")
    if note is not None and len(note) > _MAX_NOTE:
        raise InvalidInputError(
            f"the note has {len(note)} characters, at most {_MAX_NOTE} are allowed",
            hint="give a shorter --note",
        )
    spec = _spec(timing)
    plan = await plan_start(services, org, request, None, undone="no schedule was made")
    attributes = await search_attributes(services, org, plan)
    told = {
        "workflowId": plan.workflow_id,
        "version": request.version,
        "cron": timing.cron,
        "every": format_duration(every(timing.every)) if timing.every else None,
        "timezone": timing.timezone,
        "overlap": str(timing.overlap),
        "createdBy": request.user_id,
    }
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            WORKFLOW_TYPE,
            request.to_json(),
            # Temporal adds the time, so that each execution has an id of its own.
            id=name if org.slug == DEFAULT_ORG else f"{org.slug}:{name}",
            task_queue=services.settings.task_queue,
            typed_search_attributes=attributes,
            static_summary=plan.name,
        ),
        spec=spec,
        policy=SchedulePolicy(overlap=_POLICIES[timing.overlap]),
        state=ScheduleState(paused=paused, note=note),
    )
    async with _asked(name):
        try:
            await services.client.create_schedule(
                _temporal_id(org, name), schedule, memo={_MEMO: told}, search_attributes=attributes
            )
        except ScheduleAlreadyRunningError:
            raise ConflictError(
                f"there is a schedule {name!r} already",
                hint=f"`steploom schedule delete {name}` removes it",
            ) from None
    return await show_schedule(services, org, name)


def _spec(timing: Timing) -> ScheduleSpec:
    if (timing.cron is None) == (timing.every is None):
        both = timing.cron is not None
        raise InvalidInputError(
            "give either --cron or --every, and not both"
            if both
            else "it is not said when: give --cron or --every",
            hint="--cron '0 6 * * *' is each day at six, --every PT15M each quarter of an hour",
        )
    if timing.every is not None:
        if timing.timezone is not None:
            raise InvalidInputError("a time zone goes with --cron; an interval has none")
        return ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every(timing.every))])
    # Temporal takes the time zone from either place.
    return ScheduleSpec(cron_expressions=[timing.cron or ""], time_zone_name=timing.timezone)


async def show_schedule(services: Services, org: Organization, name: str) -> ScheduleView:
    """One schedule of this org.

    Raises:
        NotFoundError: There is none of this id.
    """
    handle = _handle(services, org, name)
    async with _asked(name):
        found = await handle.describe()
        told = (await found.memo()).get(_MEMO) or {}
        given = await _start_object(found)
    info = found.info
    return ScheduleView(
        **_told(name, told),
        paused=found.schedule.state.paused,
        note=found.schedule.state.note or None,
        next=list(info.next_action_times),
        recent=[
            one.action.workflow_id
            for one in info.recent_actions
            if isinstance(one.action, ScheduleActionExecutionStartWorkflow)
        ],
        running=[
            one.workflow_id
            for one in info.running_actions
            if isinstance(one, ScheduleActionExecutionStartWorkflow)
        ],
        starts=info.num_actions,
        skipped=info.num_actions_skipped_overlap,
        input=given.get("input", {}),
        created_at=info.created_at,
    )


async def _start_object(found: ScheduleDescription) -> dict[str, Any]:
    action = found.schedule.action
    if not isinstance(action, ScheduleActionStartWorkflow) or not action.args:
        return {}
    [start] = await found.data_converter.decode(list(action.args)[:1])
    return start if isinstance(start, dict) else {}


def _told(name: str, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "workflow_id": str(told.get("workflowId") or "unknown"),
        "version": told.get("version"),
        "cron": told.get("cron"),
        "every": told.get("every"),
        "timezone": told.get("timezone"),
        "overlap": told.get("overlap"),
        "created_by": told.get("createdBy"),
    }


async def list_schedules(services: Services, org: Organization) -> list[ScheduleView]:
    """The schedules of this org by their ids. Temporal lists a new one after a moment."""
    before = _temporal_id(org, "")
    views = []
    async with _asked("all of them"):
        async for one in await services.client.list_schedules(
            f'{SEARCH_ORG} = "{org.slug}"' if await _searchable(services) else None
        ):
            if not one.id.startswith(before) or one.schedule is None or one.info is None:
                continue
            told = (await one.memo()).get(_MEMO) or {}
            views.append(
                ScheduleView(
                    **_told(one.id.removeprefix(before), told),
                    paused=one.schedule.state.paused,
                    note=one.schedule.state.note or None,
                    next=list(one.info.next_action_times),
                    recent=[
                        action.action.workflow_id
                        for action in one.info.recent_actions
                        if isinstance(action.action, ScheduleActionExecutionStartWorkflow)
                    ],
                )
            )
    return sorted(views, key=lambda view: view.id)


async def pause_schedule(
    services: Services, org: Organization, name: str, *, actor: str, reason: str | None = None
) -> ScheduleView:
    """Starts nothing until it is resumed; what runs goes on. Returns the schedule as it is then.

    Raises:
        NotFoundError: There is no such schedule.
    """
    async with _asked(name):
        await _handle(services, org, name).pause(note=_note("paused", actor, reason))
    # Also because Temporal can lose a pause that is followed by another request at once.
    return await show_schedule(services, org, name)


async def resume_schedule(
    services: Services, org: Organization, name: str, *, actor: str, reason: str | None = None
) -> ScheduleView:
    """Goes on after a pause; what would have started meanwhile is not made up for."""
    async with _asked(name):
        await _handle(services, org, name).unpause(note=_note("resumed", actor, reason))
    return await show_schedule(services, org, name)


async def trigger_schedule(services: Services, org: Organization, name: str) -> None:
    """Starts an execution now, paused or not, under the same policy for overlaps."""
    handle = _handle(services, org, name)
    async with _asked(name):
        recent = (await handle.describe()).info.recent_actions
        # Executions are named after the second: Temporal drops another one of the same.
        since = datetime.now(UTC) - recent[-1].started_at if recent else _SHORTEST
        await asyncio.sleep(min(1.0, max(0.0, (_SHORTEST - since).total_seconds())))
        await handle.trigger()


async def delete_schedule(services: Services, org: Organization, name: str) -> None:
    """Removes a schedule; what it started stays and goes on."""
    async with _asked(name):
        await _handle(services, org, name).delete()


def _note(done: str, actor: str, reason: str | None) -> str:
    return f"{done} by {actor}" + (f": {reason}" if reason else "")


def _temporal_id(org: Organization, name: str) -> str:
    return f"steploom:{org.slug}:{name}"


def _handle(services: Services, org: Organization, name: str) -> ScheduleHandle:
    if _ID.fullmatch(name) is None:
        raise _not_found(name)
    return services.client.get_schedule_handle(_temporal_id(org, name))


def _not_found(name: str) -> NotFoundError:
    return NotFoundError("schedule", name, hint="`steploom schedule list` shows all")


async def _searchable(services: Services) -> bool:
    from adapters.temporal.search_attributes import missing  # noqa: PLC0415

    try:
        return SEARCH_ORG not in await missing(services.client)
    except RPCError:
        return False


@asynccontextmanager
async def _asked(name: str) -> AsyncIterator[None]:
    """What Temporal says to a call about a schedule, in our words."""
    try:
        yield
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise _not_found(name) from None
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            raise InvalidInputError(
                f"Temporal refuses the schedule: {error.message}",
                hint="a cron expression is of the form '0 6 * * 1-5', a time zone such as "
                "Europe/Paris",
            ) from None
        raise unreachable(error) from error
