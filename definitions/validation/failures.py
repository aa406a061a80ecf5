"""What ``onFailure`` and the timeouts say that cannot be, or has no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.durations import DurationError, parse_duration
from definitions.validation.outline import object_of, text_of

if TYPE_CHECKING:
    from datetime import timedelta

    from definitions.jsontypes import JsonObject
    from definitions.validation.findings import Findings, Parts
    from definitions.validation.outline import Outline


def check_failures(outline: Outline, findings: Findings) -> None:
    """The document's ``onFailure`` has rules of its own; a step's may name a step for nothing."""
    on_failure = object_of(outline.document, "onFailure")
    _check_ignored_target(on_failure, ("onFailure",), findings)
    action = on_failure.get("action")
    if action == "retry":
        findings.add(
            ("onFailure", "action"),
            "document_retry",
            "the document's onFailure cannot retry: give the steps a retryPolicy",
        )
    elif action == "continue" and on_failure.get("nextStepId") is None:
        findings.add(
            ("onFailure",),
            "document_continue_without_target",
            "the document's onFailure can only continue at a nextStepId",
        )
    for step in outline.steps:
        own = object_of(step.value, "onFailure")
        _check_ignored_target(own, (*step.where, "onFailure"), findings)


def _check_ignored_target(on_failure: JsonObject, where: Parts, findings: Findings) -> None:
    if on_failure.get("nextStepId") is not None and on_failure.get("action") != "continue":
        findings.add(
            (*where, "nextStepId"),
            "ignored_next_step",
            "nextStepId has no effect without the action continue",
        )


def check_timeouts(outline: Outline, findings: Findings) -> None:
    """A timeout leaves some time, and an attempt cannot last longer than its step."""
    _check_some_time(outline.document, (), ("timeout",), findings)
    for step in outline.steps:
        _check_some_time(
            step.value, step.where, ("timeout", "attemptTimeout", "heartbeatTimeout"), findings
        )
        compensation = object_of(step.value, "compensation")
        _check_some_time(compensation, (*step.where, "compensation"), ("timeout",), findings)
        attempt = _duration(step.value, "attemptTimeout")
        whole = _duration(step.value, "timeout")
        if attempt is not None and whole is not None and attempt > whole:
            findings.add(
                (*step.where, "attemptTimeout"),
                "attempt_longer_than_step",
                "attemptTimeout is longer than the step's timeout, which comes first",
            )


def _check_some_time(
    value: JsonObject, where: Parts, keys: tuple[str, ...], findings: Findings
) -> None:
    for key in keys:
        limit = _duration(value, key)
        if limit is not None and not limit:
            findings.add(
                (*where, key),
                "zero_timeout",
                f"{key} is no time at all: nothing could end within it",
            )


def _duration(step: JsonObject, key: str) -> timedelta | None:
    try:
        return parse_duration(text_of(step, key) or "")
    except DurationError:
        return None
