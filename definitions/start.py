"""The start object: what a run is started with, by Temporal's CLI as by ours."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from definitions.document import Version, WorkflowId
from definitions.triggers import MAX_CAUSATION_DEPTH

DEFAULT_ORG = "default"
#: The input and the result of a run (UTF-8 bytes of their JSON).
MAX_RUN_VALUE_BYTES = 256 * 1024

_Short = Annotated[str, Field(min_length=1, max_length=255)]


class RerunRequest(BaseModel):
    """Which execution to run again, and from which step of its main path.

    What came before the step's latest iteration is taken from the record, the rest is done anew.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )

    execution_id: Annotated[str, Field(min_length=1, max_length=1000)]
    from_step: _Short
    reason: Annotated[str, Field(max_length=4096)] | None = None


class StartRequest(BaseModel):
    """Which definition to run, with what, for whom.

    ``definition`` stands instead of ``workflow_id`` and ``version``: a document given inline, which
    is validated in full and stored as an unlisted version. No ``version``: the highest registered.
    ``rerun`` stands instead of all three: the version is the earlier execution's, and so is
    everything else that is left out here.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )

    workflow_id: WorkflowId | None = None
    version: Version | None = None
    definition: dict[str, Any] | None = None
    rerun: RerunRequest | None = None
    input: dict[str, Any] = Field(default_factory=dict)
    org_id: _Short = DEFAULT_ORG
    channel: _Short | None = None
    external_id: _Short | None = None
    correlation_id: _Short | None = None
    user_id: _Short | None = None
    idempotency_key: _Short | None = None
    trigger_event_id: Annotated[UUID, Field(strict=False)] | None = None
    #: How many runs have started one another by their events, up to this one.
    causation_depth: Annotated[int, Field(ge=1, le=MAX_CAUSATION_DEPTH)] | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    tags: Annotated[dict[str, str], Field(max_length=50)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_one_definition(self) -> StartRequest:
        named = [one for one in (self.workflow_id, self.definition, self.rerun) if one is not None]
        if len(named) != 1:
            raise PydanticCustomError(
                "definition_or_id", "give one of workflowId, definition and rerun", {}
            )
        if self.workflow_id is None and self.version is not None:
            raise PydanticCustomError("version_of_inline", "version goes with workflowId alone", {})
        return self

    def to_json(self) -> dict[str, Any]:
        """The object as Temporal's CLI takes it, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def request_hash(start: Any) -> str:
    """What tells one start object (as JSON values) from another under the same idempotency key."""
    text = json.dumps(start, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
