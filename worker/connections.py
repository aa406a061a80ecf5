"""Where the settings say that Temporal, Postgres and Kafka are. Light: it connects to none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from adapters.kafka.connection import KafkaConnection
    from adapters.temporal.connection import TemporalConnection
    from worker.settings import Settings


def temporal_connection(settings: Settings) -> TemporalConnection:
    """Where Temporal is."""
    # Here, because a command that needs Postgres alone must not pay for Temporal's library.
    from adapters.temporal.connection import TemporalConnection  # noqa: PLC0415

    key = settings.temporal_api_key
    return TemporalConnection(
        address=settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=key.get_secret_value() if key is not None else None,
        tls=settings.temporal_tls,
        tls_ca=settings.temporal_tls_ca,
        tls_cert=settings.temporal_tls_cert,
        tls_key=settings.temporal_tls_key,
    )


def database_url(settings: Settings) -> str:
    """Where Postgres is.

    Raises:
        UnreachableError: None is set up.
    """
    if settings.database_url is None:
        raise UnreachableError(
            "Postgres",
            "no Postgres is set up, and no `steploom dev` runs in this folder",
            hint="start one with `steploom dev`, or set STEPLOOM_DATABASE_URL",
        )
    return settings.database_url.get_secret_value()


def kafka_connection(settings: Settings) -> KafkaConnection | None:
    """Where Kafka is, if it is configured."""
    from adapters.kafka.connection import KafkaConnection  # noqa: PLC0415 (only where it is used)

    if not settings.kafka_bootstrap_servers:
        return None
    password = settings.kafka_sasl_password
    return KafkaConnection(
        servers=tuple(settings.kafka_bootstrap_servers),
        tls=settings.kafka_tls,
        tls_ca=settings.kafka_tls_ca,
        tls_cert=settings.kafka_tls_cert,
        tls_key=settings.kafka_tls_key,
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_sasl_username,
        password=password.get_secret_value() if password is not None else None,
    )
