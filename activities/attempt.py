"""One attempt of a task: run it, bound it, and have it on record before it answers.

Knows nothing of Temporal. Rules:

* An attempt that is over within ``QUICK`` is written once, a slower one at its start too, so that
  an attempt that is never heard of again has left its beginning.
* A task that was done is not done again because the record cannot be written: the write is tried
  until it succeeds, while the attempt stays alive.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from activities.context import TaskContext
from activities.payloads import Payloads
from activities.recording import write_record
from definitions.errors import NEVER_RETRIED, TaskError
from definitions.jsonvalues import storable, with_storable_keys
from definitions.outputs import bounded_error, is_object, stored_output
from definitions.records import AttemptRecord, ErrorInfo, RecordBatch, StepRecord
from definitions.references import without_references
from definitions.statuses import StepStatus

if TYPE_CHECKING:
    from activities.registry import RegisteredTask, TaskRegistry
    from activities.secrets import Secrets
    from definitions.calls import TaskEnvelope
    from definitions.jsontypes import Json
    from definitions.ports import Recorder
    from definitions.redaction import Redactor
    from definitions.references import PayloadReference

#: Seconds. A faster attempt is written once.
QUICK = 0.1

_log = structlog.get_logger(__name__)


class Failure(Exception):  # noqa: N818 (an answer, not a fault of ours)
    """How an attempt failed. ``retryable`` is what the error itself says; policies say more."""

    def __init__(self, info: ErrorInfo, retryable: bool) -> None:
        super().__init__(info.message)
        self.info = info
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """Which attempt this is, and how it tells that it is alive."""

    number: int
    worker: str
    beat: Callable[..., None]


class AttemptRunner:
    """Runs attempts of the tasks in a registry.

    ``executor`` runs the sync ones. ``secrets`` are put into inputs; ``redactor``, which knows
    them, takes them out of whatever comes back. ``payloads`` is where big values are.
    """

    def __init__(
        self,
        registry: TaskRegistry,
        recorder: Recorder,
        executor: Executor,
        secrets: Secrets,
        redactor: Redactor,
        *,
        payloads: Payloads | None = None,
    ) -> None:
        self._registry = registry
        self._recorder = recorder
        self._executor = executor
        self._secrets = secrets
        self._redactor = redactor
        self._payloads = payloads or Payloads()

    def recording_to(self, recorder: Recorder) -> AttemptRunner:
        """The same, writing elsewhere."""
        other = copy.copy(self)
        other._recorder = recorder  # noqa: SLF001 (it is one of us)
        return other

    async def run(
        self, task_id: str, given: Json, envelope: TaskEnvelope, info: AttemptInfo
    ) -> Json:
        """Runs one attempt and records it; returns the task's raw output.

        Raises:
            Failure: The attempt failed, and that is on record.
        """
        attempt = _Attempt(given, envelope, info)
        work = asyncio.create_task(self._execute(task_id, attempt, envelope, info))
        begun: asyncio.Task[None] | None = None
        try:
            done, _ = await asyncio.wait({work}, timeout=QUICK)
            if not done:
                begun = asyncio.create_task(write_record(self._recorder, attempt.begun()))
            raw, keys_changed = await work
            whole, changed = storable(self._redactor.without_secrets(raw))
            output = await self._keep(whole, attempt, envelope)
        except Failure as failure:
            failure.info = bounded_error(self._without_secrets(failure.info))
            await self._finish(begun, attempt.failed(failure))
            raise
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work})
            await asyncio.shield(self._finish(begun, attempt.cancelled()))
            raise
        replaced = changed or keys_changed
        if replaced:
            _log.warning("output_not_storable", task=task_id, step=envelope.record.path)
        await self._finish(begun, attempt.completed(output, replaced=replaced))
        return output

    def _without_secrets(self, info: ErrorInfo) -> ErrorInfo:
        return info.model_copy(
            update={
                "type": self._redactor.text(info.type),
                "code": None if info.code is None else self._redactor.text(info.code),
                "message": self._redactor.text(info.message),
                "details": self._redactor.without_secrets(info.details),
            }
        )

    async def _finish(self, begun: asyncio.Task[None] | None, batch: RecordBatch) -> None:
        """Writes the end. The beginning, if it is still being written, is part of it."""
        if begun is not None and not begun.done():
            begun.cancel()
            await asyncio.wait({begun})
        await write_record(self._recorder, batch)

    async def _keep(self, output: Json, attempt: _Attempt, envelope: TaskEnvelope) -> Json:
        """The output as the run gets it, big values in it stored."""
        try:
            kept, stored = await self._payloads.keep(
                output, envelope.ref.org_id, envelope.output_limit
            )
        except TaskError as error:
            raise failure_of(error) from error
        attempt.payloads += stored
        return kept

    async def _execute(
        self, task_id: str, attempt: _Attempt, envelope: TaskEnvelope, info: AttemptInfo
    ) -> tuple[Json, bool]:
        """What the task gave, as JSON, and whether a name in it had to be replaced for that."""
        registered = self._registry.get(task_id)
        if registered is None:
            nearest = self._registry.nearest(task_id)
            hint = f"; did you mean {nearest}?" if nearest else ""
            raise Failure(
                ErrorInfo(type="UnknownTask", message=f"no worker serves the task {task_id}{hint}"),
                retryable=False,
            )
        cancelled = threading.Event()
        context = _context(envelope, info, cancelled)
        try:
            async with asyncio.timeout(_limit(envelope)) as limit:
                try:
                    org_id = envelope.ref.org_id
                    given, attempt.payloads = await self._payloads.resolve(attempt.given, org_id)
                    ready = self._secrets.resolve(given, org_id)
                    output = await self._call(registered, ready, context)
                except TimeoutError:
                    if limit.expired():
                        raise
                    raise Failure(
                        ErrorInfo(type="TimeoutError", message="the task raised TimeoutError"),
                        retryable=True,
                    ) from None
            output, changed = with_storable_keys(output)
            value: Json = registered.as_json(output)
        except TimeoutError:
            raise Failure(_time_is_up(envelope), retryable=True) from None
        except Failure:
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # A task that ends "the process" ends itself; whoever else runs here goes on.
            raise failure_of(error) from error
        finally:
            # A sync task that is still running in its thread can see that nobody waits for it.
            cancelled.set()
        return value, changed

    async def _call(self, registered: RegisteredTask, given: Json, context: TaskContext) -> Any:
        arguments: list[Any] = []
        if registered.input_type is not None:
            arguments.append(registered.input_type.validate_python(given))
        keywords = {registered.context_name: context} if registered.context_name else {}
        if registered.is_async:
            return await registered.function(*arguments, **keywords)
        copied = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: copied.run(registered.function, *arguments, **keywords)
        )


def failure_of(error: BaseException) -> Failure:
    """An exception of a task as the error of its step: the class's name is the type."""
    if isinstance(error, TaskError):
        details, _ = storable(without_references(error.details))
        info = ErrorInfo(
            type=_text(error.type),
            code=None if error.code is None else _text(error.code),
            message=_text(error.message),
            details=details,
        )
        return Failure(info, error.retryable and error.type not in NEVER_RETRIED)
    if isinstance(error, ValidationError):
        problems = [
            {"pointer": "".join(f"/{part}" for part in one["loc"]), "message": one["msg"]}
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        sentences = "; ".join(f"{p['pointer'] or '/'}: {p['message']}" for p in problems)
        safe, _ = storable(problems)
        info = ErrorInfo(type="ValidationError", message=_text(sentences), details=safe)
        return Failure(info, retryable=False)
    kind = type(error).__name__
    info = ErrorInfo(type=kind, message=_text(str(error)) or kind)
    return Failure(info, kind not in NEVER_RETRIED)


def _text(value: object) -> str:
    """Text that Temporal and Postgres can keep."""
    kept, _ = storable(str(value))
    return str(kept)


def _limit(envelope: TaskEnvelope) -> float | None:
    """How many seconds this attempt has: its own timeout, or what is left of the step's."""
    limits = [] if envelope.attempt_timeout is None else [envelope.attempt_timeout]
    if envelope.deadline is not None:
        limits.append(max(0.0, (envelope.deadline - _now()).total_seconds()))
    return min(limits, default=None)


def _time_is_up(envelope: TaskEnvelope) -> ErrorInfo:
    if envelope.attempt_timeout is not None:
        message = f"the attempt took longer than {envelope.attempt_timeout:g} seconds"
    else:
        message = "the step took longer than its timeout"
    return ErrorInfo(type="TimeoutError", message=message)


def _context(envelope: TaskEnvelope, info: AttemptInfo, cancelled: threading.Event) -> TaskContext:
    return TaskContext(
        org_id=str(envelope.ref.org_id),
        execution_id=envelope.ref.execution_id,
        workflow_id=envelope.ref.workflow_id,
        workflow_version=envelope.ref.version,
        step_id=envelope.record.step_id,
        step_path=envelope.record.path,
        iteration=envelope.record.iteration,
        attempt=info.number,
        idempotency_key=envelope.idempotency_key,
        _beat=info.beat,
        _cancelled=cancelled,
    )


def _now() -> datetime:
    return datetime.now(UTC)


class _Attempt:
    """The batches that one attempt can write."""

    def __init__(self, given: Json, envelope: TaskEnvelope, info: AttemptInfo) -> None:
        self.given = given
        #: What it has read and stored.
        self.payloads: list[PayloadReference] = []
        self._envelope = envelope
        self._info = info
        self._started_at = _now()

    def begun(self) -> RecordBatch:
        return self._batch(StepStatus.ACTIVE, self._step())

    def completed(self, output: Json, *, replaced: bool = False) -> RecordBatch:
        step = self._step()
        if self._envelope.final:
            step = step.model_copy(
                update={
                    "seq": self._envelope.ended_seq,
                    "status": StepStatus.COMPLETED,
                    "output": stored_output(output),
                    "completed_at": _now(),
                    "wrapped": None if is_object(output) else True,
                }
            )
        return self._batch(StepStatus.COMPLETED, step, output=output, replaced=replaced)

    def failed(self, failure: Failure) -> RecordBatch:
        status = StepStatus.TIMEOUT if failure.info.type == "TimeoutError" else StepStatus.FAILED
        return self._batch(status, self._step(), error=failure.info)

    def cancelled(self) -> RecordBatch:
        return self._batch(StepStatus.CANCELLED, self._step())

    def _step(self) -> StepRecord:
        return self._envelope.record.model_copy(
            update={"input": self.given, "attempts": self._info.number}
        )

    def _batch(
        self,
        status: StepStatus,
        step: StepRecord,
        *,
        output: Json = None,
        error: ErrorInfo | None = None,
        replaced: bool = False,
    ) -> RecordBatch:
        attempt = AttemptRecord(
            attempt=self._info.number,
            status=status,
            input=self.given,
            output=output,
            error=error,
            started_at=self._started_at,
            completed_at=None if status is StepStatus.ACTIVE else _now(),
            worker=self._info.worker,
            replaced=replaced or None,
            step=step,
            payloads=self.payloads or None,
        )
        return RecordBatch(ref=self._envelope.ref, records=self._envelope.records, attempt=attempt)
