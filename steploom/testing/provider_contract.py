"""The contract of ``WorkflowProvider`` as tests, for ours and for anybody's provider.

Subclass it in a test module, with a fixture that gives a provider and with definitions in its
language; pytest does the rest (with pytest-asyncio)::

    class TestMine(ProviderContract):
        provider_type = "mine"

        @pytest_asyncio.fixture
        async def provider(self) -> AsyncIterator[WorkflowProvider]:
            async with open_mine() as provider:
                yield provider

        def definition(self, behaviour: Behaviour) -> Any:
            return {"succeeds": …, "fails": …, "waits": …}[behaviour]

What a provider cannot do is left out of ``supports``; it then has to say so by
``UnsupportedError``.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import uuid4

import pytest

from definitions.providers.errors import (
    AlreadyExistsError,
    ProviderConflictError,
    ProviderNotFoundError,
    SpecError,
    UnsupportedError,
)
from definitions.providers.limits import MAX_INPUT
from definitions.providers.types import (
    END_EVENTS,
    EXECUTION_STARTED,
    STATE_ENTERED,
    STATE_EXITED,
    ExecutionInput,
    ExecutionState,
    ExecutionStatus,
    WorkflowSpec,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from definitions.providers.port import WorkflowProvider

#: What a definition does: gives its input back; fails; waits for the event ``go``, or at least for
#: a minute where the provider takes no signals.
Behaviour = Literal["succeeds", "fails", "waits"]
#: ``keep``: executions outlive their workflow when that is deleted.
Feature = Literal["list", "tags", "signal", "delete", "keep"]

#: The event for which a definition that waits does so.
GO = "go"
_POLL = 0.1


class ProviderContract:
    """The tests. A subclass has the fixture ``provider`` and says what its definitions are."""

    pytestmark: ClassVar[Any] = pytest.mark.asyncio

    provider_type: ClassVar[str]
    #: What the provider can do beyond the rest; ``tags`` are those of executions.
    supports: ClassVar[frozenset[Feature]] = frozenset({"list", "tags", "signal", "delete", "keep"})
    #: What ``WorkflowSpec.provider_config`` has to be; None: nothing.
    provider_config: ClassVar[Any] = None
    #: Seconds that anything may take before a test gives up.
    patience: ClassVar[float] = 120.0

    def definition(self, behaviour: Behaviour) -> Any:
        """The definition of a workflow that behaves so, in the provider's language."""
        raise NotImplementedError

    @pytest.fixture
    def reopened(self, provider: WorkflowProvider) -> WorkflowProvider:
        """Another object for the same provider, as after a restart; override where there is one."""
        return provider

    def spec(self, behaviour: Behaviour = "succeeds", **fields: Any) -> WorkflowSpec:
        """A spec with an id that no other test has."""
        given: dict[str, Any] = {
            "workflow_id": f"contract-{uuid4().hex[:16]}",
            "provider_type": self.provider_type,
            "name": "A test of the contract",
            "definition": self.definition(behaviour),
        }
        if self.provider_config is not None:
            given["provider_config"] = self.provider_config
        return WorkflowSpec(**(given | fields))

    async def created(
        self, provider: WorkflowProvider, behaviour: Behaviour = "succeeds", **fields: Any
    ) -> str:
        """The id of a new workflow."""
        spec = self.spec(behaviour, **fields)
        await provider.create(spec)
        return spec.workflow_id

    async def started(self, provider: WorkflowProvider, workflow_id: str, **fields: Any) -> str:
        """The id of an execution that was started now."""
        result = await provider.start(workflow_id, ExecutionInput(**({"input": {}} | fields)))
        return result.execution_id

    async def until(self, look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
        """What ``look`` finds, once it is as it should be."""
        async with asyncio.timeout(self.patience):
            while True:
                found = await look()
                if holds(found):
                    return found
                await asyncio.sleep(_POLL)

    async def ended(self, provider: WorkflowProvider, execution_id: str) -> ExecutionStatus:
        """The status of an execution once it has ended, with its history.

        Its states follow one another as they may.
        """
        seen = [ExecutionState.PENDING]

        async def look() -> ExecutionStatus:
            status = await provider.status(execution_id, history=True)
            if status.state is not seen[-1]:
                between = [ExecutionState.RUNNING] if seen[-1] is ExecutionState.PENDING else []
                for state in dict.fromkeys([*between, status.state]):
                    seen.append(seen[-1].become(state))
            return status

        status: ExecutionStatus = await self.until(look, lambda one: one.state.ended)
        assert ExecutionStatus.parse(json.dumps(status.to_json())) == status
        assert status.execution_id == execution_id
        assert status.provider_type == self.provider_type
        assert status.stop_time is not None
        assert status.stop_time >= status.start_time
        kinds = [event.type for event in status.history]
        assert kinds[0] == EXECUTION_STARTED
        assert kinds[-1] == END_EVENTS[status.state]
        assert kinds.count(EXECUTION_STARTED) == 1
        assert sum(kind in END_EVENTS.values() for kind in kinds) == 1
        return status

    async def running(self, provider: WorkflowProvider, execution_id: str) -> ExecutionStatus:
        """The status of an execution once it has entered a state."""

        async def look() -> ExecutionStatus:
            return await provider.status(execution_id, history=True)

        def entered(status: ExecutionStatus) -> bool:
            assert not status.state.ended, status
            return any(event.type == STATE_ENTERED for event in status.history)

        status: ExecutionStatus = await self.until(look, entered)
        assert status.state is ExecutionState.RUNNING
        assert status.stop_time is None
        return status

    # -- workflows ---------------------------------------------------------------------------------

    async def test_a_workflow_is_created_once(
        self, provider: WorkflowProvider, reopened: WorkflowProvider
    ) -> None:
        """The same spec again, by another process too, gives the same result."""
        spec = self.spec(tags={"environment": "test"}, description="What it does")
        first = await provider.create(spec)
        assert first.workflow_id == spec.workflow_id
        assert first.provider_type == self.provider_type
        assert first.resource_ids
        assert all(first.resource_ids.values())
        again = await reopened.create(spec)
        assert (again.resource_ids, again.created_at) == (first.resource_ids, first.created_at)

    async def test_a_workflow_is_not_replaced(self, provider: WorkflowProvider) -> None:
        """Another definition under the same id is a conflict, and the first one stays."""
        workflow_id = await self.created(provider, "succeeds")
        with pytest.raises(AlreadyExistsError):
            await provider.create(self.spec("fails", workflow_id=workflow_id))
        status = await self.ended(provider, await self.started(provider, workflow_id))
        assert status.state is ExecutionState.SUCCEEDED

    async def test_specs_at_the_same_instant_are_one(self, provider: WorkflowProvider) -> None:
        """The same one gives all the same; of two different ones the first is created."""
        spec = self.spec("succeeds")
        made = await asyncio.gather(*(provider.create(spec) for _ in range(4)))
        assert len({(one.created_at, *one.resource_ids.items()) for one in made}) == 1
        rivals = [self.spec("waits")]
        rivals.append(self.spec("fails", workflow_id=rivals[0].workflow_id))
        answers = await asyncio.gather(
            *(provider.create(one) for one in rivals * 2), return_exceptions=True
        )
        refused = [isinstance(one, AlreadyExistsError) for one in answers]
        assert sorted(refused) == [False, False, True, True], answers
        assert refused[:2] == refused[2:], answers

    @pytest.mark.parametrize("definition", ["text", 7, None, [], {}, {"no": "such"}], ids=str)
    async def test_an_unusable_definition_is_refused(
        self, provider: WorkflowProvider, definition: Any
    ) -> None:
        """With the field in which it is wrong, and nothing is created."""
        spec = self.spec(definition=definition)
        with pytest.raises(SpecError) as caught:
            await provider.create(spec)
        assert {one.field for one in caught.value.violations} == {"definition"}
        with pytest.raises(ProviderNotFoundError):
            await self.started(provider, spec.workflow_id)

    async def test_a_spec_for_another_provider_is_refused(self, provider: WorkflowProvider) -> None:
        """A spec names its provider."""
        with pytest.raises(SpecError) as caught:
            await provider.create(self.spec(provider_type="another-one"))
        assert [one.field for one in caught.value.violations] == ["provider_type"]

    async def test_what_is_not_there_is_not_found(self, provider: WorkflowProvider) -> None:
        """Neither workflows nor executions, by whatever strange name."""
        strange = ("no such thing", "", "a:b:c:d:e:f:g:h", "a\0b", "\ud800", "ü", "x" * 2000)
        for name in (f"contract-{uuid4().hex[:16]}", *strange):
            with pytest.raises(ProviderNotFoundError):
                await self.started(provider, name)
            with pytest.raises(ProviderNotFoundError):
                await provider.status(name)
            with pytest.raises(ProviderNotFoundError):
                await provider.cancel(name)
            with pytest.raises(ProviderNotFoundError):
                await anext(provider.history(name))

    async def test_a_deleted_workflow_starts_no_more(self, provider: WorkflowProvider) -> None:
        """Where its executions outlive it, they can still be looked at."""
        workflow_id = await self.created(provider)
        if "delete" not in self.supports:
            with pytest.raises(UnsupportedError):
                await provider.delete(workflow_id)
            return
        execution_id = await self.started(provider, workflow_id)
        before = await self.ended(provider, execution_id)
        await provider.delete(workflow_id)

        async def gone() -> bool:
            try:
                await self.started(provider, workflow_id)
            except ProviderNotFoundError:
                return True
            return False

        await self.until(gone, bool)
        if "keep" in self.supports:
            after = await provider.status(execution_id)
            assert (after.state, after.output) == (before.state, before.output)
        with pytest.raises(ProviderNotFoundError):
            await provider.delete(workflow_id)

    # -- how executions end ------------------------------------------------------------------------

    async def test_an_execution_succeeds(
        self, provider: WorkflowProvider, reopened: WorkflowProvider
    ) -> None:
        """Its output is there, states were entered and left, and its history says so."""
        workflow_id = await self.created(provider, "succeeds")
        given: Any = {"tenant_id": "tenant-123", "é": [1, 2.5, None, True, {"deep": "ü"}]}
        result = await reopened.start(workflow_id, ExecutionInput(input=given))
        assert result.workflow_id == workflow_id
        assert result.provider_type == self.provider_type
        assert result.state in {ExecutionState.PENDING, ExecutionState.RUNNING}
        status = await self.ended(provider, result.execution_id)
        assert status.state is ExecutionState.SUCCEEDED
        assert status.workflow_id == workflow_id
        assert (status.input, status.output) == (given, given)
        assert status.error is None
        kinds = [event.type for event in status.history]
        assert STATE_ENTERED in kinds
        assert STATE_EXITED in kinds
        entered = next(one for one in status.history if one.type == STATE_ENTERED)
        assert isinstance(entered.details, dict)
        assert entered.details["state"]

    async def test_an_execution_fails(self, provider: WorkflowProvider) -> None:
        """It says with what error and where, and has no output."""
        workflow_id = await self.created(provider, "fails")
        status = await self.ended(provider, await self.started(provider, workflow_id))
        assert status.state is ExecutionState.FAILED
        assert status.error is not None
        assert status.error.code
        assert status.error.message
        assert status.error.failed_at
        assert "output" not in status.to_json()

    async def test_an_execution_times_out(self, provider: WorkflowProvider) -> None:
        """One that takes longer than its spec's timeout ends as such."""
        workflow_id = await self.created(provider, "waits", timeout="1s")
        status = await self.ended(provider, await self.started(provider, workflow_id))
        assert status.state is ExecutionState.TIMED_OUT
        assert "output" not in status.to_json()

    async def test_an_execution_is_cancelled(self, provider: WorkflowProvider) -> None:
        """Once; again changes nothing."""
        workflow_id = await self.created(provider, "waits")
        execution_id = await self.started(provider, workflow_id)
        await self.running(provider, execution_id)
        await provider.cancel(execution_id, reason="no longer wanted")
        status = await self.ended(provider, execution_id)
        assert status.state is ExecutionState.CANCELLED
        assert "output" not in status.to_json()
        await provider.cancel(execution_id)
        assert (await provider.status(execution_id)).state is ExecutionState.CANCELLED

    async def test_an_ended_execution_is_not_cancelled(self, provider: WorkflowProvider) -> None:
        """It stays as it ended."""
        workflow_id = await self.created(provider, "succeeds")
        execution_id = await self.started(provider, workflow_id)
        await self.ended(provider, execution_id)
        await provider.cancel(execution_id)
        assert (await provider.status(execution_id)).state is ExecutionState.SUCCEEDED

    async def test_the_largest_input_is_taken(self, provider: WorkflowProvider) -> None:
        """One of exactly 256 KB goes in; how much a state may give back is the engine's matter."""
        given = {"text": "x" * (MAX_INPUT - len('{"text":""}'))}
        workflow_id = await self.created(provider, "waits")
        execution_id = await self.started(provider, workflow_id, input=given)
        assert (await self.running(provider, execution_id)).input == given
        await provider.cancel(execution_id)

    async def test_a_history_comes_page_by_page(self, provider: WorkflowProvider) -> None:
        """However small the pages are, it is the same one."""
        workflow_id = await self.created(provider, "succeeds")
        execution_id = await self.started(provider, workflow_id)
        status = await self.ended(provider, execution_id)
        assert [one async for one in provider.history(execution_id)] == status.history
        paged = [one async for one in provider.history(execution_id, page_size=1)]
        assert paged == status.history

    # -- names -------------------------------------------------------------------------------------

    @pytest.mark.parametrize("behaviour", ["succeeds", "waits"])
    async def test_a_name_stands_for_one_execution(
        self, provider: WorkflowProvider, reopened: WorkflowProvider, behaviour: Behaviour
    ) -> None:
        """The same input gives the same one, running or ended; another one is a conflict."""
        workflow_id = await self.created(provider, behaviour)
        given = {"a": 1, "b": [True, "ü"]}
        name = "Order_7-a"
        first = await self.started(provider, workflow_id, execution_name=name, input=given)
        if behaviour == "succeeds":
            await self.ended(provider, first)
        else:
            await self.running(provider, first)
        turned = dict(reversed(given.items()))
        assert await self.started(reopened, workflow_id, execution_name=name, input=turned) == first
        for other in ({"a": 2, "b": [True, "ü"]}, {}):
            with pytest.raises(AlreadyExistsError):
                await self.started(provider, workflow_id, execution_name=name, input=other)
        if behaviour == "waits":
            await provider.cancel(first)

    async def test_starts_at_the_same_instant_are_one(self, provider: WorkflowProvider) -> None:
        """All that have the same input get the same execution."""
        workflow_id = await self.created(provider)
        found = await asyncio.gather(
            *(self.started(provider, workflow_id, execution_name="once") for _ in range(8))
        )
        assert len(set(found)) == 1

    async def test_of_rival_starts_one_wins(self, provider: WorkflowProvider) -> None:
        """Those with another input than the first one's are all refused."""
        workflow_id = await self.created(provider)
        answers = await asyncio.gather(
            *(
                self.started(provider, workflow_id, execution_name="rival", input={"n": n % 2})
                for n in range(8)
            ),
            return_exceptions=True,
        )
        taken = [one for one in answers if isinstance(one, str)]
        refused = [one for one in answers if isinstance(one, AlreadyExistsError)]
        assert (len(taken), len(refused)) == (4, 4), answers
        assert len(set(taken)) == 1

    async def test_a_name_belongs_to_its_workflow(self, provider: WorkflowProvider) -> None:
        """The same name in another workflow is another execution."""
        first, second = await self.created(provider), await self.created(provider)
        one = await self.started(provider, first, execution_name="same")
        other = await self.started(provider, second, execution_name="same")
        assert one != other

    async def test_without_a_name_each_start_is_a_new_one(self, provider: WorkflowProvider) -> None:
        """Also with the same input."""
        workflow_id = await self.created(provider)
        assert await self.started(provider, workflow_id) != await self.started(
            provider, workflow_id
        )

    # -- what not every provider can do ------------------------------------------------------------

    async def test_executions_are_listed(self, provider: WorkflowProvider) -> None:
        """In pages, and by their state."""
        workflow_id = await self.created(provider, "waits")
        if "list" not in self.supports:
            with pytest.raises(UnsupportedError):
                await provider.list(workflow_id)
            return
        ids = [await self.started(provider, workflow_id) for _ in range(3)]
        for one in ids:
            await self.running(provider, one)
        await provider.cancel(ids[0])
        await self.ended(provider, ids[0])

        async def pages(state: ExecutionState | None = None) -> list[str]:
            found: list[str] = []
            after: str | None = None
            while True:
                page = await provider.list(workflow_id, state=state, limit=1, after=after)
                assert len(page.items) <= 1
                found += [one.execution_id for one in page.items]
                if (after := page.next) is None:
                    return found

        await self.until(pages, lambda found: sorted(found) == sorted(ids))
        await self.until(lambda: pages(ExecutionState.CANCELLED), lambda found: found == [ids[0]])
        await self.until(
            lambda: pages(ExecutionState.RUNNING), lambda found: sorted(found) == sorted(ids[1:])
        )
        assert await pages(ExecutionState.SUCCEEDED) == []
        for limit in (0, 101):
            with pytest.raises(SpecError):
                await provider.list(workflow_id, limit=limit)
        with pytest.raises(SpecError):
            await provider.list(workflow_id, after="none of ours")
        with pytest.raises(ProviderNotFoundError):
            await provider.list(f"contract-{uuid4().hex[:16]}")
        for one in ids[1:]:
            await provider.cancel(one)

    async def test_executions_have_tags(self, provider: WorkflowProvider) -> None:
        """By which they are found; all of those asked for must be there."""
        workflow_id = await self.created(provider)
        tags = {"environment": "production", "team": "platform"}
        if "tags" not in self.supports:
            with pytest.raises(UnsupportedError):
                await self.started(provider, workflow_id, tags=tags)
            return
        tagged = await self.started(provider, workflow_id, tags=tags)
        bare = await self.started(provider, workflow_id, tags={"team": "other"})
        for one in (tagged, bare):
            await self.ended(provider, one)

        async def found(wanted: dict[str, str]) -> set[str]:
            page = await provider.list(workflow_id, tags=wanted)
            return {one.execution_id for one in page.items}

        await self.until(lambda: found({"team": "platform"}), lambda ids: ids == {tagged})
        await self.until(lambda: found({}), lambda ids: ids == {tagged, bare})
        assert await found(tags) == {tagged}
        assert await found({**tags, "more": "x"}) == set()

    async def test_an_execution_takes_a_signal(self, provider: WorkflowProvider) -> None:
        """It goes on; one that has ended is refused it."""
        workflow_id = await self.created(provider, "waits")
        execution_id = await self.started(provider, workflow_id)
        if "signal" not in self.supports:
            with pytest.raises(UnsupportedError):
                await provider.signal(execution_id, GO)
            await provider.cancel(execution_id)
            return
        with pytest.raises(ProviderNotFoundError):
            await provider.signal("no such execution", GO)
        await self.running(provider, execution_id)
        await provider.signal(execution_id, GO, {"by": "a test"})
        assert (await self.ended(provider, execution_id)).state is ExecutionState.SUCCEEDED
        with pytest.raises(ProviderConflictError):
            await provider.signal(execution_id, GO)
