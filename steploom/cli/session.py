"""How a command gets its services: opened for one piece of work, and closed again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from steploom.services import BOTH, load_settings, open_services, resolve_settings

if TYPE_CHECKING:
    from definitions.ports import Organization
    from steploom.services import Service, Services

T = TypeVar("T")


def in_session(
    org: str,
    work: Callable[[Services, Organization], Awaitable[T]],
    needs: Collection[Service] = BOTH,
    **given: Any,
) -> T:
    """Runs a piece of work for an org; ``given`` are settings that go before the environment's."""

    async def for_org(services: Services) -> T:
        return await work(services, await services.store.find_org(org))

    return with_services(for_org, needs, **given)


def with_services(
    work: Callable[[Services], Awaitable[T]], needs: Collection[Service] = BOTH, **given: Any
) -> T:
    """Runs a piece of work that is not about one org; ``given`` as for ``in_session``."""

    async def run() -> T:
        settings = resolve_settings(load_settings(**given), Path.cwd())
        async with open_services(settings, needs) as services:
            return await work(services)

    return asyncio.run(run())
