"""Opening the provider ``step-functions``: as any AWS client is set up, by its environment.

Needs the extra ``aws`` (boto3).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from adapters.stepfunctions.names import Names
from definitions.providers.errors import ProviderError, SpecError, Violation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from adapters.stepfunctions.provider import StepFunctionsProvider
    from definitions.providers.port import ProviderContext

#: ``role_arn``: of workflows that name none; the others are as boto3 calls them.
OPTIONS = ("role_arn", "region_name", "endpoint_url", "profile_name")


@asynccontextmanager
async def open_provider(context: ProviderContext) -> AsyncIterator[StepFunctionsProvider]:
    """The provider for an org, in the account and region of the environment.

    Raises:
        SpecError: An option that there is not.
        UnavailableError: AWS cannot be reached, or takes the credentials for nobody's.
        ProviderError: boto3 is not installed.
    """
    unknown = [name for name in context.options if name not in OPTIONS]
    if unknown:
        message = f"there is no such option; there are {', '.join(OPTIONS)}"
        raise SpecError(
            "unusable options",
            [Violation(pointer=f"/{name}", code="unknown", message=message) for name in unknown],
        )
    try:
        import boto3  # noqa: PLC0415 (only with the extra)
    except ImportError:
        raise ProviderError(
            "the provider step-functions needs boto3, which is not installed",
            hint="install steploom with the extra `aws`",
        ) from None
    from adapters.stepfunctions.errors import call  # noqa: PLC0415 (as above)
    from adapters.stepfunctions.provider import StepFunctionsProvider  # noqa: PLC0415

    options = dict(context.options)
    role_arn = options.pop("role_arn", None)

    def connect() -> tuple[Any, Any, dict[str, Any]]:
        profile = options.pop("profile_name", None)
        session = boto3.Session(profile_name=profile)
        client = session.client("stepfunctions", **options)
        identity = session.client("sts", **options)
        return client, identity, dict(identity.get_caller_identity())

    client, identity, caller = await call(connect, "account", "caller")
    try:
        names = Names(
            partition=caller["Arn"].split(":")[1],
            region=client.meta.region_name,
            account=caller["Account"],
            org=context.org,
        )
        yield StepFunctionsProvider(client, names, role_arn)
    finally:
        await asyncio.to_thread(client.close)
        await asyncio.to_thread(identity.close)
