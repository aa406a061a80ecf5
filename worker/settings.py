"""Every setting of steploom, read from ``STEPLOOM_*`` environment variables.

``docs/settings.md`` is checked against this class by a test, so a field's description is its docs.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_SECONDS = re.compile(r"\d{1,9}(\.\d+)?")


class Settings(BaseSettings):
    """Where the services are, and how the worker behaves."""

    model_config = SettingsConfigDict(env_prefix="STEPLOOM_", extra="ignore", frozen=True)

    temporal_address: str | None = Field(
        default=None,
        description="Host and port of Temporal's frontend, such as localhost:7233. Not set: the "
        "server that `steploom dev` runs in this folder.",
    )
    temporal_namespace: str = Field(default="default", description="Temporal namespace.")
    temporal_api_key: SecretStr | None = Field(
        default=None, description="API key for Temporal Cloud. Turns TLS on."
    )
    temporal_tls: bool = Field(default=False, description="Connect to Temporal with TLS.")
    temporal_tls_ca: Path | None = Field(
        default=None, description="PEM file of the CA that signed Temporal's certificate."
    )
    temporal_tls_cert: Path | None = Field(
        default=None, description="PEM file of the client certificate (mutual TLS)."
    )
    temporal_tls_key: Path | None = Field(
        default=None, description="PEM file of the client certificate's key."
    )
    temporal_ui_url: str | None = Field(
        default=None, description="Base URL of Temporal's web UI, for the links that we print."
    )
    task_queue: str = Field(default="steploom", description="Temporal task queue of the worker.")
    database_url: SecretStr | None = Field(
        default=None,
        description="Postgres, as postgresql://user:password@host:port/database. Not set: the "
        "server that `steploom dev` runs in this folder.",
    )
    database_pool_size: int = Field(
        default=8, ge=2, le=200, description="Connections that one worker keeps to Postgres."
    )
    tasks: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Python modules with tasks, separated by commas, beside those of the "
        "`steploom.tasks` entry points.",
    )
    catalogue: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Task catalogues, separated by commas: JSON files with the tasks that workers "
        "of other languages serve.",
    )
    max_cached_workflows: int = Field(
        default=1000, ge=0, description="Runs that a worker keeps in memory between their steps."
    )
    max_concurrent_activities: int = Field(
        default=100, ge=1, description="Tasks that one worker runs at a time."
    )
    max_concurrent_workflow_tasks: int = Field(
        default=100, ge=2, description="Runs that one worker advances at a time."
    )
    liveness_timeout: timedelta = Field(
        default=timedelta(seconds=30),
        description="How long a worker may be silent before a task that it runs is given to "
        "another, for steps that set no heartbeatTimeout (seconds, or ISO 8601).",
    )
    history_limit: int = Field(
        default=3000,
        ge=1,
        le=40_000,
        description="Events in a run's history after which it continues as a new one by itself.",
    )
    segments: bool = Field(
        default=True,
        description="Run local tasks that follow each other in one activity, with one write to the "
        "record (runs that begin while it is off do each of them by itself).",
    )
    reconcile_interval: timedelta = Field(
        default=timedelta(seconds=15),
        description="How often a worker looks for runs that have ended in Temporal without an end "
        "on record: terminated ones, above all (seconds, or ISO 8601; 0: never).",
    )
    audit_seal_interval: timedelta = Field(
        default=timedelta(seconds=10),
        description="How often a worker seals the audit events that were written since: adds them "
        "to the hash chain of their org (seconds, or ISO 8601; 0: never).",
    )
    graceful_shutdown: timedelta = Field(
        default=timedelta(seconds=10),
        description="How long running tasks may go on after the worker was asked to stop "
        "(seconds, or ISO 8601).",
    )
    http_allow: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Hosts or networks (CIDR) that core.http and webhooks may reach although they "
        "are private, separated by commas.",
    )
    secrets_dir: Path | None = Field(
        default=None,
        description="Directory of files whose names are those of secrets (secret://name in a "
        "task's input); those of one org alone in a folder named by its id. Beside them, "
        "STEPLOOM_SECRET_NAME is the secret `name`.",
    )
    redact_keys: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Names of members whose values are never stored, beside the usual ones "
        "(password, token, authorization, …), separated by commas.",
    )
    payloads: str | None = Field(
        default=None,
        description="Where values of steps over 1 MiB are kept: a directory that all workers "
        "share, or s3://bucket/prefix (with the extra `aws`). It belongs to one database. Not set: "
        "such values are refused, but `steploom dev` keeps a directory of its own.",
    )
    environment: Literal["dev", "staging", "prod"] = Field(
        default="dev",
        description="What published events name as their environment.",
    )
    kafka_bootstrap_servers: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Kafka, as host:port, several separated by commas. Not set: nothing is "
        "published, and events are kept for STEPLOOM_OUTBOX_RETENTION. Set it for the workers as "
        "well as for the relay.",
    )
    kafka_topic: str = Field(
        default="steploom.events",
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="Kafka topic to which the events of runs are published.",
    )
    kafka_consumer_topics: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Kafka topics from which `steploom consume` takes events that start runs, "
        "separated by commas.",
    )
    kafka_consumer_group: str = Field(
        default="steploom", description="Kafka consumer group of `steploom consume`."
    )
    kafka_tls: bool = Field(default=False, description="Connect to Kafka with TLS.")
    kafka_tls_ca: Path | None = Field(
        default=None, description="PEM file of the CA that signed Kafka's certificate."
    )
    kafka_tls_cert: Path | None = Field(
        default=None, description="PEM file of the client certificate for Kafka (mutual TLS)."
    )
    kafka_tls_key: Path | None = Field(
        default=None, description="PEM file of that certificate's key."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512",
        description="How a user logs in to Kafka.",
    )
    kafka_sasl_username: str | None = Field(
        default=None, description="User name for Kafka. Turns SASL on."
    )
    kafka_sasl_password: SecretStr | None = Field(default=None, description="That user's password.")
    relay: bool = Field(
        default=False,
        description="Let each worker publish to Kafka, as `steploom relay` does by itself.",
    )
    outbox_retention: timedelta = Field(
        default=timedelta(days=7),
        description="How long a published event is kept. Without Kafka, how long any event is "
        "(seconds, or ISO 8601).",
    )
    sandbox: bool = Field(
        default=False,
        description="Run the interpreter inside the SDK's workflow sandbox (slower; the tests do).",
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: str = Field(default="auto", description="console, json, or auto (by terminal).")

    @field_validator(
        "liveness_timeout",
        "reconcile_interval",
        "audit_seal_interval",
        "graceful_shutdown",
        "outbox_retention",
        mode="before",
    )
    @classmethod
    def _read_seconds(cls, value: object) -> object:
        # From the environment everything is text, and pydantic reads no seconds out of text.
        if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
            return timedelta(seconds=float(value))
        return value

    @field_validator(
        "tasks",
        "catalogue",
        "http_allow",
        "redact_keys",
        "kafka_bootstrap_servers",
        "kafka_consumer_topics",
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value
