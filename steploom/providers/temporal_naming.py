"""What the provider ``temporal`` calls executions, and how it knows a start from another."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from uuid import uuid5

from definitions.canonical import content_hash
from definitions.identity import NAMESPACE
from definitions.start import DEFAULT_ORG

if TYPE_CHECKING:
    from definitions.jsontypes import Json
    from definitions.ports import Organization

#: Bytes of chance in a name that nobody gave.
_CHANCE = 10


def execution_id(org: Organization, workflow_id: str, name: str) -> str:
    """The id of an execution, which is Temporal's workflow id.

    Names are unique within a workflow of an org, Temporal's ids in a whole namespace. Neither slugs
    nor ids nor names have a colon.
    """
    own = f"{workflow_id}:{name}"
    return own if org.slug == DEFAULT_ORG else f"{org.slug}:{own}"


def new_name() -> str:
    """A name for an execution that was given none."""
    return secrets.token_hex(_CHANCE)


def idempotency_key(org: Organization, execution: str) -> str:
    """The key under which a named execution is started, short enough for every name."""
    return str(uuid5(NAMESPACE, f"provider|{org.id}|{execution}"))


def input_hash(org: Organization, workflow_id: str, given: Json) -> str:
    """What tells a start from another of the same name. Inputs that say the same have the same."""
    return content_hash({"org": str(org.id), "workflowId": workflow_id, "input": given})
