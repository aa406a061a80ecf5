"""What AWS calls an org's workflows and executions, and which of AWS's names are the org's."""

from __future__ import annotations

import re
from dataclasses import dataclass

from definitions.providers.errors import ProviderNotFoundError
from definitions.providers.limits import EXECUTION_NAME_PATTERN, WORKFLOW_ID_PATTERN
from definitions.start import DEFAULT_ORG

#: arn:partition:states:region:account:execution:machine:name
_EXECUTION_PARTS = 8


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one org in one account and region."""

    partition: str
    region: str
    account: str
    org: str = DEFAULT_ORG

    @property
    def _prefix(self) -> str:
        return "" if self.org == DEFAULT_ORG else f"{self.org}_"

    def machine(self, workflow_id: str) -> str:
        """The name of a workflow's state machine."""
        return self._prefix + workflow_id

    def machine_arn(self, workflow_id: str) -> str:
        """The ARN of a workflow's state machine.

        Raises:
            ProviderNotFoundError: No workflow can have this id.
        """
        if re.fullmatch(WORKFLOW_ID_PATTERN, workflow_id) is None:
            raise ProviderNotFoundError("workflow", workflow_id)
        return self._arn("stateMachine", self.machine(workflow_id))

    def execution_arn(self, workflow_id: str, name: str) -> str:
        """The ARN of a workflow's execution."""
        return self._arn("execution", f"{self.machine(workflow_id)}:{name}")

    def workflow_of(self, execution_id: str) -> str:
        """The workflow of an execution of this org.

        Raises:
            ProviderNotFoundError: It is none that this org can have.
        """
        parts = execution_id.split(":")
        if len(parts) == _EXECUTION_PARTS:
            machine, name = parts[-2:]
            workflow_id = machine.removeprefix(self._prefix)
            if (
                execution_id == self._arn("execution", f"{machine}:{name}")
                and machine == self.machine(workflow_id)
                and re.fullmatch(WORKFLOW_ID_PATTERN, workflow_id) is not None
                and re.fullmatch(EXECUTION_NAME_PATTERN, name) is not None
            ):
                return workflow_id
        raise ProviderNotFoundError("execution", execution_id)

    def _arn(self, kind: str, rest: str) -> str:
        return f"arn:{self.partition}:states:{self.region}:{self.account}:{kind}:{rest}"
