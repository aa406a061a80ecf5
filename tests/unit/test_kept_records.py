"""What a run has kept is written in portions that fit into an activity's arguments."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from definitions.records import StepRecord
from definitions.statuses import StepStatus
from worker.kept_records import MAX_KEPT, MAX_KEPT_BYTES, KeptRecords, weight


def _record(seq: int, size: int) -> StepRecord:
    return StepRecord(
        seq=seq,
        path="s",
        iteration=1,
        step_id="s",
        task_id="t",
        name="s",
        status=StepStatus.COMPLETED,
        output={"text": "x" * size},
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@given(st.lists(st.sampled_from([0, 1000, 200_000, 600_000]), max_size=12), st.booleans())
def test_portions_keep_order_and_fit(sizes: list[int], many: bool) -> None:
    """Nothing is lost or reordered, each portion fits, and there are as many as was said."""
    wanted = [_record(seq, size) for seq, size in enumerate(sizes + [0] * (450 if many else 0))]
    kept = KeptRecords(wanted)
    writes, taken = kept.writes, []
    for _ in range(writes):
        portion, size = kept.take()
        assert len(portion) <= MAX_KEPT
        assert size == sum(map(weight, portion))
        assert size <= MAX_KEPT_BYTES or len(portion) == 1
        taken += portion
    assert taken == wanted
    assert (len(kept), kept.bytes) == (0, 0)


def test_a_limit_may_leave_all_of_them() -> None:
    """Beside a big input there may be no room for even one."""
    kept = KeptRecords([_record(1, 1000)])
    assert kept.take(500) == ([], 0)
    portion, size = kept.take(5000)
    kept.put_back(portion)
    assert [one.seq for one in kept.all] == [1]
    assert kept.bytes == size


def test_many_or_big_ones_are_too_much() -> None:
    """Either is a reason to write."""
    assert not KeptRecords([_record(1, 1000)]).overfull(2000)
    assert KeptRecords([_record(1, 1000)]).overfull(1000)
    assert KeptRecords([_record(seq, 0) for seq in range(MAX_KEPT)]).overfull(10**9)
