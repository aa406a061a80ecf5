"""The instruments, and what is counted with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Observation

from adapters.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import Counter, Histogram, MeterProvider

    from definitions.records import RunRef, StepRecord


class Meters:
    """Counts and measures for one worker."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter(names.SCOPE)

        def counter(metric: names.Metric) -> Counter:
            return meter.create_counter(*metric)

        def durations(metric: names.Metric) -> Histogram:
            buckets = names.DURATION_BUCKETS
            return meter.create_histogram(*metric, explicit_bucket_boundaries_advisory=buckets)

        self._meter = meter
        self._runs_started = counter(names.RUNS_STARTED)
        self._runs_ended = counter(names.RUNS_ENDED)
        self._run_duration = durations(names.RUN_DURATION)
        self._steps = counter(names.STEPS)
        self._step_duration = durations(names.STEP_DURATION)
        self._attempts = counter(names.ATTEMPTS)
        self._attempt_duration = durations(names.ATTEMPT_DURATION)
        self._retries = counter(names.RETRIES)
        self._commit_duration = durations(names.COMMIT_DURATION)
        self._commit_writes = meter.create_histogram(
            *names.COMMIT_WRITES,
            explicit_bucket_boundaries_advisory=(1, 2, 4, 8, 16, 32, 64, 128, 256),
        )

    def watch_queue(self, length: Callable[[], int], age: Callable[[], float]) -> None:
        """Asks these whenever metrics are read: from a thread of the exporter's."""
        self._watch((names.QUEUE_LENGTH, length), (names.QUEUE_AGE, age))

    def watch_outbox(
        self, waiting: Callable[[], int], age: Callable[[], float], dead: Callable[[], int]
    ) -> None:
        """Asks these whenever metrics are read: from a thread of the exporter's."""
        self._watch(
            (names.OUTBOX_WAITING, waiting), (names.OUTBOX_AGE, age), (names.OUTBOX_DEAD, dead)
        )

    def _watch(self, *asked: tuple[names.Metric, Callable[[], float]]) -> None:
        for metric, ask in asked:
            self._meter.create_observable_gauge(
                metric.name, [_asking(ask)], unit=metric.unit, description=metric.description
            )

    def run_started(self, ref: RunRef) -> None:
        """A run's first record was written."""
        self._runs_started.add(1, {names.WORKFLOW_ID: ref.workflow_id})

    def run_ended(self, ref: RunRef, status: str, seconds: float) -> None:
        """A run's end was recorded."""
        attributes = {names.WORKFLOW_ID: ref.workflow_id, names.STATUS: status}
        self._runs_ended.add(1, attributes)
        self._run_duration.record(seconds, attributes)

    def step_ended(self, record: StepRecord) -> None:
        """A step's end was recorded."""
        attributes = {names.TASK_ID: record.task_id, names.STATUS: str(record.status)}
        ended = record.completed_at or record.started_at
        self._steps.add(1, attributes)
        self._step_duration.record((ended - record.started_at).total_seconds(), attributes)

    def attempt_ended(self, task_id: str, status: str, seconds: float, *, again: bool) -> None:
        """An attempt ended. ``again``: it was not the task's first."""
        attributes = {names.TASK_ID: task_id, names.STATUS: status}
        self._attempts.add(1, attributes)
        self._attempt_duration.record(seconds, attributes)
        if again:
            self._retries.add(1, {names.TASK_ID: task_id})

    def committed(self, writes: int, seconds: float) -> None:
        """The recorder has committed a transaction."""
        self._commit_duration.record(seconds)
        self._commit_writes.record(writes)


def _asking(ask: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(ask())]

    return observe
