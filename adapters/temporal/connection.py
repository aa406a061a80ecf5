"""Connecting to Temporal, with an error that says what to do when it does not answer."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from temporalio.client import Client, Interceptor
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError, TLSConfig

from adapters.temporal.failures import TolerantFailureConverter
from definitions.errors import UnreachableError

#: Seconds until a server that does not answer is called unreachable.
CONNECT_TIMEOUT = 8.0
DEFAULT_NAMESPACE = "default"
_CONVERTER = replace(DataConverter.default, failure_converter_class=TolerantFailureConverter)


@dataclass(frozen=True, slots=True)
class TemporalConnection:
    """Where Temporal is. Without an address, Temporal's own environment configuration decides.

    A namespace other than the default one goes before that configuration's.
    """

    address: str | None = None
    namespace: str = DEFAULT_NAMESPACE
    api_key: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def _tls(self) -> bool | TLSConfig:
        files = (self.tls_ca, self.tls_cert, self.tls_key)
        if any(files):
            ca, cert, key = (path.read_bytes() if path else None for path in files)
            return TLSConfig(server_root_ca_cert=ca, client_cert=cert, client_private_key=key)
        return self.tls or self.api_key is not None


async def connect(
    connection: TemporalConnection, interceptors: Sequence[Interceptor] = ()
) -> Client:
    """A client of the namespace, with these interceptors.

    Raises:
        UnreachableError: Nothing answers there, or it refuses us.
    """
    address = connection.address or "the address of Temporal's environment configuration"
    try:
        if connection.address is not None:
            attempt = Client.connect(
                connection.address,
                namespace=connection.namespace,
                api_key=connection.api_key,
                tls=connection._tls(),  # noqa: SLF001 (the same module)
                data_converter=_CONVERTER,
                interceptors=interceptors,
            )
        else:
            known = ClientConfig.load_client_connect_config()
            if connection.namespace != DEFAULT_NAMESPACE:
                known["namespace"] = connection.namespace
            attempt = Client.connect(
                **known,
                data_converter=_CONVERTER,
                interceptors=interceptors,
            )
        return await asyncio.wait_for(attempt, CONNECT_TIMEOUT)
    except (OSError, RuntimeError, RPCError, ValueError) as error:
        # wait_for's TimeoutError is an OSError.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no answer"
        raise UnreachableError(
            "Temporal",
            f"Temporal does not answer at {address} ({_short(reason)})",
            hint="start it with `steploom dev`, or set STEPLOOM_TEMPORAL_ADDRESS",
        ) from None


def _short(reason: str) -> str:
    return textwrap.shorten(reason, 120, placeholder=" …")
