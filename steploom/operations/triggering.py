"""An event comes in: what it starts is started, and what it cannot start is a dead letter.

Whoever hands in the same event again gets the same runs: a run's idempotency key is made of the
event and the definition. So an event may be handled as often as it takes. Where Temporal or
Postgres does not answer, nothing is a dead letter: ``UnreachableError`` says that the event is to
be handled again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from temporalio.service import RPCError, RPCStatusCode

from activities.configuration import pin_configuration
from adapters.postgres.dead_letters import PostgresDeadLetters
from adapters.postgres.triggers import PostgresTriggers
from adapters.transforms.pool import TransformError
from definitions.deadletters import (
    MAX_REASON,
    DeadLetter,
    Message,
    letter_of_event,
    letter_of_message,
)
from definitions.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
)
from definitions.expressions import EvaluationError, ExpressionSyntaxError
from definitions.identity import definition_id
from definitions.inbound import EventRefusedError, first_that_holds, read_message
from definitions.start import StartRequest, request_hash
from definitions.triggers import MAX_CAUSATION_DEPTH
from steploom.operations.starting import Planned, begin, check_run_input, keyed_execution_id
from steploom.operations.temporal import unreachable

if TYPE_CHECKING:
    from adapters.postgres.triggers import Triggered
    from adapters.transforms.pool import Transforms
    from definitions.document import Trigger
    from definitions.inbound import InboundEvent
    from definitions.jsontypes import JsonObject
    from definitions.ports import Organization
    from definitions.redaction import Redactor
    from steploom.services import Services

#: The header of a message that says whose event it is: an org's slug or id.
ORG_HEADER = "org_id"
#: The channel of runs that events start.
CHANNEL = "event"
_MAX_CORRELATION = 255
#: What Temporal says of a start that it would refuse again.
_FINAL = frozenset({RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.OUT_OF_RANGE})


@dataclass(frozen=True, slots=True)
class StartedByEvent:
    """A run that an event started. ``existing``: it had done so before."""

    workflow_id: str
    version: str
    execution_id: str
    existing: bool

    def to_json(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "workflowId": self.workflow_id,
            "version": self.version,
            "executionId": self.execution_id,
            "existing": self.existing,
        }


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of an event. ``event`` and ``org`` are None where there were none to be found."""

    event: InboundEvent | None = None
    org: str | None = None
    started: list[StartedByEvent] = field(default_factory=list)
    refused: list[DeadLetter] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "eventId": str(self.event.id) if self.event is not None else None,
            "eventType": self.event.type if self.event is not None else None,
            "org": self.org,
            "started": [one.to_json() for one in self.started],
            "refused": [one.to_json() for one in self.refused],
        }


@dataclass(frozen=True, slots=True)
class _Arrival:
    """An event of an org. ``depth``: of the run that published it; 0 if none did."""

    owner: Organization
    event: InboundEvent
    scope: JsonObject
    depth: int


class _CannotStartError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Dispatcher:
    """Starts what events start. One for each process and event loop.

    Args:
        services: Temporal and Postgres.
        transforms: Where transforms are evaluated.
        redactor: What must not stand in a dead letter's reason.
    """

    def __init__(self, services: Services, transforms: Transforms, redactor: Redactor) -> None:
        self._services = services
        self._transforms = transforms
        self._redactor = redactor
        self._triggers = PostgresTriggers(services.database)
        self.letters = PostgresDeadLetters(services.database)

    async def handle(
        self, message: Message, *, org: str | None = None, only: str | None = None
    ) -> Handled:
        """Starts every definition of the org that the event matches.

        Args:
            message: What came.
            org: Whose it is where its header does not say: an org's slug or id.
            only: Nothing but this definition.

        Raises:
            UnreachableError: Temporal or Postgres does not answer. What was started stays, and
                handling the event again starts it no second time.
        """
        message = self._kept(message)
        named = message.headers.get(ORG_HEADER) or org
        owner: Organization | None = None
        if named:
            try:
                owner = await self._services.store.find_org(named)
            except NotFoundError as error:
                return await self._nobodys(message, "unknown_org", error.message)
        try:
            event = read_message(message)
        except EventRefusedError as error:
            letter = _letter(message, error.code, self._redactor.text(error.message), owner=owner)
            await self.letters.put(letter)
            return Handled(None, owner.slug if owner else None, refused=[letter])
        if owner is None:
            return await self._nobodys(
                message, "no_org", f"no header {ORG_HEADER} says whose event it is", event
            )
        return await self._start_all(message, owner, event, only)

    async def give_up(self, message: Message, reason: str) -> None:
        """Keeps a message as a dead letter that nobody could handle."""
        letter = _letter(self._kept(message), "unexpected", self._redactor.text(reason))
        await self.letters.put(letter)

    def _kept(self, message: Message) -> Message:
        """A message as a dead letter keeps it: without what names of its headers give away."""
        return replace(message, headers=self._redactor.stored(message.headers))

    async def _start_all(
        self, message: Message, owner: Organization, event: InboundEvent, only: str | None
    ) -> Handled:
        handled = Handled(event, owner.slug)
        found = await self._triggers.matching(owner.id, event.type)
        if only is not None:
            found = [one for one in found if one.workflow_id == only]
        if not found:
            return handled
        depth = await self._triggers.causation_depth(owner.id, event)
        arrival = _Arrival(owner, event, event.scope(), depth)
        for definition in found:
            try:
                started = await self._start_one(arrival, definition)
            except _CannotStartError as error:
                letter = _letter(
                    message,
                    error.code,
                    self._redactor.text(str(error)),
                    owner=owner,
                    event=event,
                    workflow_id=definition.workflow_id,
                )
                await self.letters.put(letter)
                handled.refused.append(letter)
            else:
                if started is not None:
                    handled.started.append(started)
        return handled

    async def _start_one(self, arrival: _Arrival, definition: Triggered) -> StartedByEvent | None:
        """The run, or None where no condition holds.

        A definition is started once by an event: by its first trigger that holds.
        """
        try:
            trigger = first_that_holds(definition.triggers, arrival.scope)
        except (EvaluationError, ExpressionSyntaxError) as error:
            raise _CannotStartError("condition_failed", f"the condition fails: {error}") from None
        if trigger is None:
            return None
        key = f"event:{arrival.event.id}:{definition.workflow_id}"
        before = await self._services.reader.find_by_idempotency_key(arrival.owner.id, key)
        if before is not None:
            return StartedByEvent(
                before.workflow_id, before.version, before.execution_id, existing=True
            )
        if arrival.depth >= MAX_CAUSATION_DEPTH:
            raise _CannotStartError(
                "causation_too_deep",
                f"{arrival.depth} runs have started one another by their events, and no more may",
            )
        correlation = arrival.event.correlation_id
        request = StartRequest(
            workflow_id=definition.workflow_id,
            version=definition.version,
            input=await self._input(arrival, definition, trigger),
            org_id=arrival.owner.slug,
            channel=CHANNEL,
            correlation_id=correlation[:_MAX_CORRELATION] if correlation else None,
            idempotency_key=key,
            trigger_event_id=arrival.event.id,
            causation_depth=arrival.depth + 1,
        )
        return await self._begin(arrival.owner, request, definition)

    async def _input(
        self, arrival: _Arrival, definition: Triggered, trigger: Trigger
    ) -> dict[str, Any]:
        given: Any = arrival.event.data if arrival.event.data is not None else {}
        if trigger.transform is not None:
            try:
                given = await self._transforms.apply(trigger.transform, arrival.scope)
            except TransformError as error:
                raise _CannotStartError("transform_failed", error.message) from None
        if not isinstance(given, dict):
            of_what = "the event's data is" if trigger.transform is None else "the transform gives"
            raise _CannotStartError("unusable_input", f"{of_what} no object, as an input has to be")
        try:
            check_run_input(definition.input_schema, given)
        except InvalidInputError as error:
            sentences = "; ".join(f"{one.pointer or '/'}: {one.message}" for one in error.problems)
            message = f"{error.message}{f' ({sentences})' if sentences else ''}"
            raise _CannotStartError("unusable_input", message) from None
        return given

    async def _begin(
        self, owner: Organization, request: StartRequest, definition: Triggered
    ) -> StartedByEvent:
        plan = Planned(
            definition.workflow_id, definition.version, definition.name, request.correlation_id
        )
        workflow = definition_id(owner.id, definition.workflow_id)
        try:
            await pin_configuration(self._services.configs, owner.id, workflow, request.channel)
        except InvalidInputError as error:
            raise _CannotStartError("start_refused", error.message) from None
        execution_id = keyed_execution_id(owner.id, request.idempotency_key or "")
        digest = request_hash(request.to_json())
        try:
            run = await begin(
                self._services, owner, request, plan, execution_id=execution_id, digest=digest
            )
        except ConflictError:
            # The event has started it before, and with another input: by an earlier version.
            return StartedByEvent(
                definition.workflow_id, definition.version, execution_id, existing=True
            )
        except RPCError as error:
            if error.status in _FINAL:
                raise _CannotStartError(
                    "start_refused", f"Temporal says: {error.message}"
                ) from None
            raise unreachable(error) from error
        return StartedByEvent(
            definition.workflow_id, definition.version, run.execution_id, run.existing
        )

    async def _nobodys(
        self, message: Message, code: str, reason: str, event: InboundEvent | None = None
    ) -> Handled:
        letter = _letter(message, code, self._redactor.text(reason), event=event)
        await self.letters.put(letter)
        return Handled(event, None, refused=[letter])


def _letter(
    message: Message,
    code: str,
    reason: str,
    *,
    owner: Organization | None = None,
    event: InboundEvent | None = None,
    workflow_id: str | None = None,
) -> DeadLetter:
    org_id = owner.id if owner is not None else None
    if event is not None and org_id is not None:
        identity = letter_of_event(org_id, event.id, workflow_id)
    else:
        identity = letter_of_message(org_id, message)
    return DeadLetter(
        id=identity,
        org_id=org_id,
        event_id=event.id if event is not None else None,
        event_type=event.type if event is not None else None,
        source=event.source if event is not None else None,
        workflow_id=workflow_id,
        code=code,
        # What a library says may hold what Postgres does not take.
        reason=reason.encode("utf-8", "replace").decode().replace("\0", "")[:MAX_REASON],
        message=message.body,
        headers=message.headers,
        topic=message.topic,
        topic_partition=message.partition,
        topic_offset=message.offset,
    )


async def retry(
    dispatcher: Dispatcher, letter: DeadLetter, *, org: str | None = None
) -> tuple[Handled, bool]:
    """Handles a dead letter's event once more; True where the letter is resolved by it.

    It is, when nothing was refused, be it that nothing was to be started any more. The letter of an
    event without an org is resolved when it was handled for one: what fails then is that org's.

    Args:
        dispatcher: What handles it.
        letter: With what came.
        org: Whose event it is, for a letter that has no org.

    Raises:
        UnreachableError: Temporal or Postgres does not answer; the letter stays as it is.
    """
    message = _message_of(letter)
    owner = str(letter.org_id) if letter.org_id is not None else org
    handled = await dispatcher.handle(message, org=owner, only=letter.workflow_id)
    done = not handled.refused if letter.org_id is not None else handled.org is not None
    if done:
        await dispatcher.letters.resolve(letter.org_id, letter.id)
    return handled, done


def _message_of(letter: DeadLetter) -> Message:
    # What the header said of the org has led to where the letter is; what counts now is that.
    headers = {name: text for name, text in letter.headers.items() if name != ORG_HEADER}
    return Message(
        letter.message, headers, letter.topic, letter.topic_partition, letter.topic_offset
    )
