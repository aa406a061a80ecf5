"""The contract of ``WorkflowProvider`` for workflows whose executions are tried again as a whole.

A subclass of ``RetryContract`` is held to all of ``ProviderContract`` with a retry policy in every
spec, and to what tries add to that: whoever looks at an execution sees one, whatever it took.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import pytest
from typing_extensions import override

from definitions.providers.errors import ProviderConflictError
from definitions.providers.types import (
    STATE_ENTERED,
    STATE_EXITED,
    STATE_FAILED,
    ExecutionState,
    ExecutionStatus,
    WorkflowSpec,
)
from steploom.testing.provider_contract import GO, Behaviour, ProviderContract

if TYPE_CHECKING:
    from definitions.providers.port import WorkflowProvider

#: The tries of the policy that specs have here.
TRIES = 3
POLICY: dict[str, Any] = {
    "max_attempts": TRIES,
    "backoff_rate": 1.0,
    "initial_interval": "10ms",
    "max_interval": "0s",
}
#: One with which nobody sees a second try.
PATIENT: dict[str, Any] = {**POLICY, "initial_interval": "1h"}


class RetryContract(ProviderContract):
    """The tests, for a provider that also lists executions and takes signals."""

    def unstable(self, failures: int, then: Literal["succeeds", "waits"]) -> Any:
        """A definition of which so many tries of an execution fail; the next behaves as ``then``.

        The state that it enters first is left in each try.
        """
        raise NotImplementedError

    @override
    def spec(self, behaviour: Behaviour = "succeeds", **fields: Any) -> WorkflowSpec:
        """A spec whose executions are tried again."""
        return super().spec(behaviour, **({"retry_policy": POLICY} | fields))

    async def tries(self, provider: WorkflowProvider, execution_id: str) -> int:
        """How often an execution has entered its first state; it has left it as often, or will."""
        history = [event async for event in provider.history(execution_id)]
        assert [one.timestamp for one in history] == sorted(one.timestamp for one in history)
        entered = [one.details["state"] for one in history if one.type == STATE_ENTERED]
        left = [one for one in history if one.type in {STATE_EXITED, STATE_FAILED}]
        assert len(left) <= len(entered)
        return Counter(entered)[entered[0]] if entered else 0

    async def in_try(
        self, provider: WorkflowProvider, execution_id: str, number: int
    ) -> ExecutionStatus:
        """The status of an execution once this try of it has begun and all before it have ended."""

        async def begun() -> int:
            assert not (await provider.status(execution_id)).state.ended
            return await self.tries(provider, execution_id)

        await self.until(begun, lambda found: found == number)
        status = await provider.status(execution_id)
        assert (status.state, status.stop_time) == (ExecutionState.RUNNING, None)
        assert status.error is None
        return status

    async def listed(self, provider: WorkflowProvider, status: ExecutionStatus) -> None:
        """Sees that a workflow's one execution is listed as such, with how it ended."""
        workflow_id = status.workflow_id
        [one] = (await provider.list(workflow_id)).items
        seen = (one.execution_id, one.state, one.error)
        assert seen == (status.execution_id, status.state, status.error)
        for state in ExecutionState:
            found = (await provider.list(workflow_id, state=state)).items
            assert len(found) == (state is status.state), state

    async def test_an_execution_that_fails_at_first_succeeds(
        self, provider: WorkflowProvider
    ) -> None:
        """As one execution with a single output, whose history tells of every try."""
        workflow_id = await self.created(provider, definition=self.unstable(TRIES - 1, "succeeds"))
        given = {"tenant_id": "tenant-123", "é": [1, {"deep": "${input.tenant_id}"}]}
        execution_id = await self.started(provider, workflow_id, input=given)
        status = await self.ended(provider, execution_id)
        assert status.state is ExecutionState.SUCCEEDED
        assert (status.input, status.output, status.error) == (given, given, None)
        assert await self.tries(provider, execution_id) == TRIES
        await self.listed(provider, status)

    async def test_an_execution_that_always_fails_ends_so(self, provider: WorkflowProvider) -> None:
        """With the error of a try, as if there had been just that one."""
        once = await self.created(provider, "fails", retry_policy=None)
        expected = await self.ended(provider, await self.started(provider, once))
        workflow_id = await self.created(provider, "fails")
        execution_id = await self.started(provider, workflow_id)
        status = await self.ended(provider, execution_id)
        assert (status.state, status.error) == (ExecutionState.FAILED, expected.error)
        assert await self.tries(provider, execution_id) == TRIES
        await self.listed(provider, status)

    async def test_no_interval_is_no_wait(self, provider: WorkflowProvider) -> None:
        """The next try comes at once where no initial interval is given."""
        policy = {"max_attempts": 2, "backoff_rate": 2.0}
        workflow_id = await self.created(
            provider, definition=self.unstable(1, "succeeds"), retry_policy=policy
        )
        execution_id = await self.started(provider, workflow_id)
        assert (await self.ended(provider, execution_id)).state is ExecutionState.SUCCEEDED
        assert await self.tries(provider, execution_id) == 2

    async def test_a_later_try_is_cancelled(self, provider: WorkflowProvider) -> None:
        """And none comes after it."""
        workflow_id = await self.created(provider, definition=self.unstable(1, "waits"))
        execution_id = await self.started(provider, workflow_id)
        await self.in_try(provider, execution_id, 2)
        await provider.cancel(execution_id, reason="no longer wanted")
        status = await self.ended(provider, execution_id)
        assert (status.state, status.error) == (ExecutionState.CANCELLED, None)
        assert "output" not in status.to_json()
        assert await self.tries(provider, execution_id) == 2
        await self.listed(provider, status)

    async def test_a_later_try_takes_a_signal(self, provider: WorkflowProvider) -> None:
        """Sent to the execution, not to the try."""
        workflow_id = await self.created(provider, definition=self.unstable(1, "waits"))
        given = {"n": 1}
        execution_id = await self.started(provider, workflow_id, input=given)
        await self.in_try(provider, execution_id, 2)
        await provider.signal(execution_id, GO, {"by": "a test"})
        status = await self.ended(provider, execution_id)
        assert (status.state, status.output) == (ExecutionState.SUCCEEDED, given)
        assert await self.tries(provider, execution_id) == 2

    async def test_between_two_tries(self, provider: WorkflowProvider) -> None:
        """An execution runs, takes no signal, is found by its name and can be cancelled."""
        workflow_id = await self.created(provider, "fails", retry_policy=PATIENT)
        execution_id = await self.started(provider, workflow_id, execution_name="patient")

        async def refused() -> bool:
            failed = [one async for one in provider.history(execution_id)]
            if not any(one.type == STATE_FAILED for one in failed):
                return False
            try:
                await provider.signal(execution_id, GO)
            except ProviderConflictError:
                return True
            return False

        await self.until(refused, bool)
        status = await provider.status(execution_id)
        assert (status.state, status.error) == (ExecutionState.RUNNING, None)
        await self.listed(provider, status)
        again = await self.started(provider, workflow_id, execution_name="patient")
        assert again == execution_id
        await provider.cancel(execution_id)
        status = await self.ended(provider, execution_id)
        assert status.state is ExecutionState.CANCELLED
        assert await self.tries(provider, execution_id) == 1
        with pytest.raises(ProviderConflictError):
            await provider.signal(execution_id, GO)
