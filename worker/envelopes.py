"""What goes to a task's activity beside the task's input, and what a segment begins with."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from definitions.calls import SegmentRequest, TaskEnvelope
from definitions.outputs import MAX_STATE_BYTES, MAX_VALUE_BYTES
from worker.interpreter.state import state_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.calls import ResolvedRun
    from definitions.records import Record, RunRef
    from worker.interpreter.host import TaskCall
    from worker.interpreter.state import RunState

#: One attempt of a local task that sets no ``attemptTimeout``.
LOCAL_ATTEMPT = timedelta(seconds=60)
#: A run that carries more than this is copied for longer than a local activity takes.
_MAX_COPIED_BYTES = 64 * 1024


def is_local(call: TaskCall) -> bool:
    """Whether a task runs as a local activity: side by side they are where the SDK is weakest."""
    return call.spec.mode == "local" and call.main_path


def envelope_of(
    ref: RunRef, call: TaskCall, records: Sequence[Record], *, attempts_before: int = 0
) -> TaskEnvelope:
    """The envelope of a task, with the facts that travel with it."""
    limit = call.attempt_timeout
    if limit is None and is_local(call):
        limit = LOCAL_ATTEMPT
    return TaskEnvelope(
        ref=ref,
        record=call.record,
        ended_seq=call.ended_seq,
        final=call.final,
        idempotency_key=call.idempotency_key,
        attempt_timeout=limit.total_seconds() if limit is not None else None,
        deadline=call.deadline,
        own_heartbeats=call.heartbeat_timeout is not None,
        output_limit=call.output_limit if call.output_limit < MAX_VALUE_BYTES else None,
        attempts_before=attempts_before,
        records=list(records),
    )


def in_segment(call: TaskCall) -> bool:
    """Whether a task can be run among others: nothing but itself bounds its time."""
    limit = call.attempt_timeout or LOCAL_ATTEMPT
    return is_local(call) and call.deadline is None and limit <= LOCAL_ATTEMPT


def segment_request(run: ResolvedRun, state: RunState, call: TaskCall) -> SegmentRequest | None:
    """What a segment needs that begins with this task, if there is to be one.

    ``now`` and ``records`` are the host's.
    """
    if not (run.segments and call.chains and in_segment(call)) or state.cancelling:
        return None
    if call.room < MAX_STATE_BYTES - _MAX_COPIED_BYTES:
        return None
    return SegmentRequest(
        # The call takes two numbers when it is made again.
        state=state_text(state, seq=call.ended_seq - 2),
        room=call.room,
        document=run.document or {},
        tasks=run.tasks,
        now=state.started_at,
    )
