"""The provider ``step-functions`` on moto's server, which interprets state machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from typing_extensions import override

from adapters.stepfunctions.opening import open_provider
from definitions.providers.port import ProviderContext
from steploom.testing.provider_contract import Behaviour, Feature, ProviderContract
from tests.contract.aws import running_moto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from adapters.stepfunctions.provider import StepFunctionsProvider

ROLE = "arn:aws:iam::123456789012:role/executions"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of our own, with credentials for it in the environment."""
    with (
        running_moto(tmp_path_factory.mktemp("moto") / "server.log") as url,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("AWS_ENDPOINT_URL", url)
        environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield url


def context(org: str = "default", **options: str) -> ProviderContext:
    """How the provider is opened."""
    return ProviderContext(org=org, options={"role_arn": ROLE, **options})


def machine(behaviour: Behaviour) -> dict[str, Any]:
    """A state machine that behaves so."""
    states: dict[str, dict[str, Any]] = {
        "succeeds": {
            "First": {"Type": "Pass", "Next": "Last"},
            "Last": {"Type": "Succeed"},
        },
        "fails": {
            "First": {"Type": "Pass", "Next": "Charge"},
            "Charge": {"Type": "Fail", "Error": "GatewayError", "Cause": "bad gateway"},
        },
        "waits": {"First": {"Type": "Wait", "Seconds": 300, "End": True}},
    }
    return {"StartAt": "First", "States": states[behaviour]}


class TestStepFunctions(ProviderContract):
    """State machines, run by AWS."""

    provider_type: ClassVar[str] = "step-functions"
    supports: ClassVar[frozenset[Feature]] = frozenset({"list", "delete"})

    @pytest.fixture
    async def provider(self, aws: str) -> AsyncIterator[StepFunctionsProvider]:
        """The provider of the org ``default``."""
        assert aws
        async with open_provider(context()) as provider:
            yield provider

    @override
    @pytest.fixture
    async def reopened(self, aws: str) -> AsyncIterator[StepFunctionsProvider]:
        """Another one, as after a restart."""
        assert aws
        async with open_provider(context()) as provider:
            yield provider

    @override
    def definition(self, behaviour: Behaviour) -> Any:
        """A state machine."""
        return machine(behaviour)
