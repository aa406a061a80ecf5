"""The configuration that a run is pinned to: what it is, and who knows it.

It is laid over in layers, whole members at a time: what is said of all, then what is said of the
run's channel, then what is said of its workflow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from definitions.jsongate import JsonGateError, check
from definitions.outputs import json_size
from definitions.problems import Problem, pointer
from definitions.requirements import FieldRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from definitions.jsontypes import Json
    from definitions.redaction import Redactor

#: A configuration travels with its run, so it is bounded (UTF-8 bytes of its JSON).
MAX_CONFIG_BYTES = 64 * 1024
#: A text that is a reference to a secret, and nothing else.
_REFERENCE = re.compile(r"secret://[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ActiveConfig(BaseModel):
    """What counts for a run that begins now.

    Args:
        channel: The channel that it is on; absent where it named none and none is offered.
        enabled: Whether the channel may be used: by the org, and for the workflow.
        config: The effective configuration. Whatever SQL has stored: perhaps no object.
        webhook_url: Who is told of its end.
        recorded: What the run was pinned to, where it has begun on record and has not ended.
        requirements: What operators have said of the fields that its steps take and give.
    """

    model_config = ConfigDict(frozen=True)

    channel: str | None = None
    enabled: bool = True
    config: Any = Field(default_factory=dict)
    webhook_url: str | None = None
    recorded: Any = None
    requirements: list[FieldRow] = Field(default_factory=list)


class ConfigStore(Protocol):
    """Where configurations are kept. Every method sees one org alone."""

    async def active_for(
        self,
        org_id: UUID,
        workflow_id: UUID,
        channel: str | None,
        version_id: UUID | None = None,
        instance_id: UUID | None = None,
    ) -> ActiveConfig:
        """What counts now for a run of a workflow.

        Args:
            org_id: The run's org.
            workflow_id: ``workflow_definitions.id``.
            channel: The channel that its start names. None: the enabled one of highest priority.
            version_id: The version that it follows, whose steps' fields are asked for.
            instance_id: The run, which may have begun on record already.
        """
        ...

    async def pinned_by(self, org_id: UUID, instance_id: UUID) -> Any:
        """The configuration of an earlier run, as it is on record; None where there is none."""
        ...


def config_problems(value: Json) -> list[Problem]:
    """Why a value cannot be a configuration; empty when it can."""
    if not isinstance(value, dict):
        message = "a configuration is a JSON object"
        return [Problem(pointer="", code="value_wrong_type", message=message)]
    try:
        check(value)
    except JsonGateError as error:
        return [Problem(pointer=error.pointer, code=error.code, message=error.message)]
    size = json_size(value)
    if size > MAX_CONFIG_BYTES:
        message = f"the configuration has {size} bytes, at most {MAX_CONFIG_BYTES} are allowed"
        return [Problem(pointer="", code="value_out_of_range", message=message)]
    return []


def bare_secrets(value: Json, redactor: Redactor) -> list[str]:
    """The JSON Pointers of texts whose names say that they are secrets, and that are no reference.

    ``{"apiKey": "secret://shop-key"}`` has none, ``{"apiKey": "x7"}`` one.
    """
    return [pointer(*where) for where in _bare(value, redactor, ())]


def _bare(
    value: Json, redactor: Redactor, where: tuple[str | int, ...]
) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _bare(item, redactor, (*where, index))
    elif isinstance(value, dict):
        for name, member in value.items():
            here = (*where, name)
            if isinstance(member, str) and member and redactor.hides(name):
                if "secret://" not in member:
                    yield here
            else:
                yield from _bare(member, redactor, here)


def stored_config(value: Json, redactor: Redactor) -> Json:
    """A configuration as it may be stored: redacted, but for what only refers to a secret."""
    if isinstance(value, list):
        return [stored_config(item, redactor) for item in value]
    if not isinstance(value, dict):
        return redactor.stored(value)
    return {
        redactor.text(name): member
        if isinstance(member, str) and _REFERENCE.fullmatch(member)
        else redactor.stored({name: member})[redactor.text(name)]
        if redactor.hides(name)
        else stored_config(member, redactor)
        for name, member in value.items()
    }
