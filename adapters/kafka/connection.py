"""Where Kafka is, and how to get in: what aiokafka's producers and consumers are made with."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import override

from definitions.errors import UnreachableError

#: How we name ourselves to the brokers, in their logs and quotas.
CLIENT_ID = "steploom"


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Bootstrap servers as ``host:port``; TLS and SASL where they are asked for."""

    servers: tuple[str, ...]
    tls: bool = False
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @override
    def __str__(self) -> str:
        return ",".join(self.servers)

    def options(self) -> dict[str, Any]:
        """The keyword arguments of a client of aiokafka's.

        Raises:
            UnreachableError: A file of the certificates cannot be read.
        """
        context = self._context()
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "client_id": CLIENT_ID,
            "ssl_context": context,
            "security_protocol": _protocol(context is not None, self.username is not None),
        }
        if self.username is not None:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password or "",
            }
        return options

    def _context(self) -> ssl.SSLContext | None:
        if not (self.tls or self.tls_ca or self.tls_cert):
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
            if self.tls_cert is not None:
                context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise UnreachableError(
                "Kafka",
                f"the certificates for Kafka cannot be used: {error}",
                hint="see STEPLOOM_KAFKA_TLS_CA, STEPLOOM_KAFKA_TLS_CERT, STEPLOOM_KAFKA_TLS_KEY",
            ) from error
        return context


def _protocol(tls: bool, sasl: bool) -> str:
    if sasl:
        return "SASL_SSL" if tls else "SASL_PLAINTEXT"
    return "SSL" if tls else "PLAINTEXT"
