"""The start object: what a run is started with, by Temporal's CLI as by ours."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from definitions.document import Version, WorkflowId

DEFAULT_ORG = "default"
#: The input and the result of a run (UTF-8 bytes of their JSON).
MAX_RUN_VALUE_BYTES = 256 * 1024

_Short = Annotated[str, Field(min_length=1, max_length=255)]


class StartRequest(BaseModel):
    """Which definition to run, with what, for whom.

    ``definition`` stands instead of ``workflow_id`` and ``version``: a document given inline, which
    is validated in full and stored as an unlisted version. No ``version``: the highest registered.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )

    workflow_id: WorkflowId | None = None
    version: Version | None = None
    definition: dict[str, Any] | None = None
    input: dict[str, Any] = Field(default_factory=dict)
    org_id: _Short = DEFAULT_ORG
    channel: _Short | None = None
    external_id: _Short | None = None
    correlation_id: _Short | None = None
    user_id: _Short | None = None
    idempotency_key: _Short | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    tags: Annotated[dict[str, str], Field(max_length=50)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_one_definition(self) -> StartRequest:
        if (self.workflow_id is None) == (self.definition is None):
            raise PydanticCustomError(
                "definition_or_id", "give either workflowId or definition, and not both", {}
            )
        if self.definition is not None and self.version is not None:
            raise PydanticCustomError(
                "version_of_inline", "version goes with workflowId, not with definition", {}
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """The object as Temporal's CLI takes it, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def request_hash(start: Any) -> str:
    """What tells one start object (as JSON values) from another under the same idempotency key."""
    text = json.dumps(start, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
