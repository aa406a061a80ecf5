"""Registering our search attributes with Temporal, and asking which are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from definitions.names import SEARCH_ATTRIBUTES

if TYPE_CHECKING:
    from temporalio.client import Client


async def missing(client: Client) -> list[str]:
    """Which of ours the namespace does not know.

    Raises:
        RPCError: The server does not answer, or does not let us ask.
    """
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    known = answer.custom_attributes
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    return [name for name in SEARCH_ATTRIBUTES if known.get(name) != keyword]


async def register(client: Client) -> list[str]:
    """Registers those that are missing; returns which these were. Safe to repeat."""
    wanted = await missing(client)
    if not wanted:
        return []
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace,
                search_attributes=dict.fromkeys(wanted, keyword),
            )
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
    return wanted
