"""What AWS and its client library raise, as errors of a provider."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from definitions.providers.errors import (
    AlreadyExistsError,
    ProviderConflictError,
    ProviderError,
    ProviderNotFoundError,
    SpecError,
    UnavailableError,
    Violation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = "Step Functions"

_NOT_FOUND = frozenset(
    {
        "ExecutionDoesNotExist",
        "InvalidArn",
        "ResourceNotFound",
        "StateMachineDeleting",
        "StateMachineDoesNotExist",
    }
)
_EXISTS = frozenset({"ExecutionAlreadyExists", "StateMachineAlreadyExists"})
#: Which field of ours is wrong when AWS says so.
_INVALID = {
    "InvalidDefinition": "/definition",
    "InvalidExecutionInput": "/input",
    "InvalidLoggingConfiguration": "/provider_config/logging_configuration",
    "InvalidName": "/workflow_id",
    "InvalidToken": "/after",
    "InvalidTracingConfiguration": "/provider_config/tracing_configuration",
    "StateMachineTypeNotSupported": "/definition",
    "TooManyTags": "/tags",
    "ValidationException": "",
}
_HINT = "set AWS_REGION and credentials as for any AWS client"


async def call(function: Callable[..., Any], what: str, name: str, /, **arguments: Any) -> Any:
    """What a call of the client answers, made in a thread.

    Args:
        function: A method of the client.
        what: What it is about, ``workflow`` or ``execution``, for who reads the error.
        name: Its name.
        arguments: The call's own.

    Raises:
        ProviderError: The one that the answer means.
    """
    try:
        return await asyncio.to_thread(function, **arguments)
    except ClientError as error:
        raise translated(error, what, name) from error
    except ParamValidationError as error:
        raise _invalid("", str(error)) from error
    except BotoCoreError as error:
        raise UnavailableError(SERVICE, f"{SERVICE}: {error}", hint=_HINT) from error


def translated(error: ClientError, what: str, name: str) -> ProviderError:
    """The provider's error for an answer of AWS."""
    told = error.response.get("Error", {})
    code, message = told.get("Code", ""), told.get("Message") or str(error)
    if code in _NOT_FOUND:
        return ProviderNotFoundError(what, name)
    if code in _EXISTS:
        return AlreadyExistsError(f"{what} {name!r}: {message}")
    if code == "ConflictException":
        return ProviderConflictError(f"{what} {name!r}: {message}")
    if code in _INVALID:
        return _invalid(_INVALID[code], message)
    # Refused credentials, quotas, throttling and faults of the service: none of it is the values'.
    return UnavailableError(SERVICE, f"{SERVICE}: {code}: {message}", hint=_HINT)


def _invalid(where: str, message: str) -> SpecError:
    return SpecError(
        "an unusable value", [Violation(pointer=where, code="refused", message=message)]
    )
