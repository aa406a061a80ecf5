"""Deterministic ids: the same fact has the same id, whoever writes it and however often.

All are UUIDv5 (RFC 9562) under one namespace of ours, so that a repeated write is an upsert.
"""

from __future__ import annotations

from uuid import UUID, uuid5

#: The root of all our ids. Changing it would make every record a new one.
NAMESPACE = UUID("6f0d2f5e-6a0c-5d64-9b0e-3c1f6f7f5a11")
#: UTF-8 bytes of an execution id, which is Temporal's workflow id.
MAX_EXECUTION_ID = 1000


def _derive(kind: str, *parts: str | int | UUID) -> UUID:
    # The length prefix keeps ("a:b", "c") and ("a", "b:c") apart.
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    return uuid5(NAMESPACE, f"{kind}|{text}")


def org_id(slug: str) -> UUID:
    """The id of an organization by its slug."""
    return _derive("org", slug)


def user_id(org: UUID, name: str) -> UUID:
    """The id of a user in an org."""
    return _derive("user", org, name)


def definition_id(org: UUID, workflow_id: str) -> UUID:
    """The id of a row of ``workflow_definitions``."""
    return _derive("definition", org, workflow_id)


def version_id(org: UUID, workflow_id: str, version: str, content_hash: str) -> UUID:
    """The id of one version of a definition with one content."""
    return _derive("version", org, workflow_id, version, content_hash)


def instance_id(first_run_id: str) -> UUID:
    """The id of a run. ``first_run_id``: of Temporal's chain of continued runs."""
    return _derive("instance", first_run_id)


def step_record_id(instance: UUID, path: str, iteration: int) -> UUID:
    """The id of the record of one iteration of a step."""
    return _derive("step", instance, path, iteration)


def event_id(
    org: UUID, first_run_id: str, kind: str, *, path: str = "", iteration: int = 0, attempt: int = 0
) -> UUID:
    """The id of an audit event; without a path, of one of the run itself."""
    return _derive("event", org, first_run_id, path, iteration, attempt, kind)


def inbound_event_id(source: str, given: str) -> UUID:
    """The id of an event from outside whose own is no UUID."""
    return _derive("inbound", source, given)


def dead_letter_id(*parts: str | int | UUID) -> UUID:
    """The id of a dead letter: of which event for which workflow, or of which message."""
    return _derive("dead", *parts)


def child_execution_id(parent: str, path: str, iteration: int, attempt: int) -> str:
    """The execution id of a child run: of which run, which step of it, and which attempt.

    At most as long as Temporal takes one (1,000 bytes): runs can start runs some levels deep.
    """
    place = path if iteration == 1 else f"{path}@{iteration}"
    if attempt > 1:
        place += f"!{attempt}"
    whole = f"{parent}/{place}"
    if len(whole.encode()) <= MAX_EXECUTION_ID:
        return whole
    return f"{_derive('execution', parent)}/{place}"


def idempotency_key(first_run_id: str, path: str, iteration: int) -> str:
    """What a task hands to the systems it calls: the same on each of its attempts."""
    return f"{first_run_id}:{path}:{iteration}"
