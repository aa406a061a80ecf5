"""Configurations and channels: what operators say that runs are to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from activities.http import check_link_local
from adapters.postgres.configs import CHANNELS
from definitions.configuration import bare_secrets, config_problems
from definitions.errors import InvalidInputError, NotFoundError, TaskError
from definitions.problems import Problem
from definitions.redaction import make_redactor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from adapters.postgres.configs import Channel
    from definitions.ports import Organization
    from definitions.views import ChannelView, ConfigView
    from steploom.services import Services

_MAX_NAME = 255
_MAX_URL = 2048
#: What ``workflow_channel_configs.priority`` holds.
_MAX_PRIORITY = 2**31 - 1


async def create(
    services: Services,
    org: Organization,
    data: dict[str, Any],
    *,
    workflow: str | None = None,
    channel: str | None = None,
    name: str | None = None,
    activate: bool = False,
    actor: str | None = None,
) -> ConfigView:
    """Makes a new version of a configuration, and with ``activate`` the one that counts.

    Raises:
        NotFoundError: The org has no such workflow.
        InvalidInputError: It cannot be a configuration, or there is no such channel.
    """
    _check_config(services, data)
    if name is not None and not 0 < len(name) <= _MAX_NAME:
        raise InvalidInputError(
            f"the name has {len(name)} characters, it can have 1 to {_MAX_NAME}",
            hint="give a shorter --name, or none",
        )
    made = await services.configs.create(
        org.id,
        data,
        workflow_id=await _workflow(services, org, workflow),
        channel=_channel(channel),
        name=name,
        actor=actor,
    )
    return await activate_config(services, org, made.id, actor=actor) if activate else made


async def activate_config(
    services: Services, org: Organization, config_id: int, *, actor: str | None = None
) -> ConfigView:
    """Makes a version the one that counts for runs that begin from now on.

    Raises:
        NotFoundError: The org has no such configuration.
    """
    try:
        return await services.configs.activate(org.id, config_id, actor=actor)
    except NotFoundError as error:
        raise NotFoundError(
            error.kind, error.name, hint="`steploom configs list` shows all with their ids"
        ) from None


async def list_configs(
    services: Services, org: Organization, *, workflow: str | None = None, active: bool = False
) -> Sequence[ConfigView]:
    """The versions of all configurations, or of those of one workflow; with ``active`` those alone.

    Raises:
        NotFoundError: The org has no such workflow.
    """
    found = await services.configs.list_configs(org.id)
    if workflow is not None:
        wanted = await _workflow(services, org, workflow)
        found = [one for one in found if one.workflow_id == wanted]
    return [one for one in found if one.active or not active]


async def set_channel(
    services: Services,
    org: Organization,
    channel: str,
    *,
    workflow: str | None = None,
    enabled: bool | None = None,
    priority: int | None = None,
    webhook_url: str | None = None,
    no_webhook: bool = False,
    data: dict[str, Any] | None = None,
    actor: str | None = None,
) -> ChannelView:
    """Says how a workflow, or without one the org, uses a channel. What is left out stays.

    Raises:
        NotFoundError: The org has no such workflow.
        InvalidInputError: There is no such channel, or something given cannot be.
    """
    known = _channel(channel)
    if known is None:
        raise AssertionError("a channel was given")
    if data is not None:
        _check_config(services, data)
    if webhook_url is not None:
        _check_webhook(services, webhook_url)
    if workflow is None:
        if priority is not None or webhook_url is not None or no_webhook:
            raise InvalidInputError(
                "a priority and a webhook are a workflow's on the channel",
                hint="name it with --workflow",
            )
        said = await services.configs.list_org_channels(org.id)
        before = next((one for one in said if one.channel == known), None)
        return await services.configs.set_org_channel(
            org.id,
            known,
            enabled=_kept(enabled, before.enabled if before else None, True),
            data=_kept(data, before.data if before else None, {}),
            actor=actor,
        )
    if priority is not None and not -_MAX_PRIORITY <= priority <= _MAX_PRIORITY:
        raise InvalidInputError(f"the priority {priority} is out of range", hint="0 to 100 will do")
    workflow_id = await _workflow(services, org, workflow)
    if workflow_id is None:
        raise AssertionError("a workflow was given")
    offered = await services.configs.list_channels(org.id, workflow_id)
    before = next((one for one in offered if one.channel == known), None)
    url = None if no_webhook else _kept(webhook_url, before.webhook_url if before else None, None)
    return await services.configs.set_channel(
        org.id,
        workflow_id,
        known,
        enabled=_kept(enabled, before.enabled if before else None, True),
        priority=_kept(priority, before.priority if before else None, 0),
        webhook_url=url,
        data=_kept(data, before.data if before else None, {}),
        actor=actor,
    )


async def list_channels(
    services: Services, org: Organization, *, workflow: str | None = None
) -> Sequence[ChannelView]:
    """What is said of channels: by the org, then by each workflow or the one that is named.

    Raises:
        NotFoundError: The org has no such workflow.
    """
    if workflow is not None:
        return await services.configs.list_channels(
            org.id, await _workflow(services, org, workflow)
        )
    return [
        *await services.configs.list_org_channels(org.id),
        *await services.configs.list_channels(org.id),
    ]


def _kept(given: Any, before: Any, default: Any) -> Any:
    return next((one for one in (given, before) if one is not None), default)


async def _workflow(services: Services, org: Organization, name: str | None) -> UUID | None:
    if name is None:
        return None
    return (await services.store.get(org.id, name, None)).definition_id


def _channel(name: str | None) -> Channel | None:
    if name is not None and name not in CHANNELS:
        raise InvalidInputError(
            f"there is no channel {name!r}", hint=f"the channels are {', '.join(CHANNELS)}"
        )
    return name


def _check_config(services: Services, data: dict[str, Any]) -> None:
    problems = config_problems(data)
    if problems:
        raise InvalidInputError("this cannot be a configuration", problems=problems)
    bare = bare_secrets(data, make_redactor(services.settings.redact_keys))
    if bare:
        message = "a secret does not stand in a configuration: write secret://NAME"
        raise InvalidInputError(
            "the configuration has what looks like a secret; nothing was stored",
            problems=[Problem(pointer=one, code="secret", message=message) for one in bare],
            hint="the worker that runs the task puts it in: see docs/secrets.md",
        )


def _check_webhook(services: Services, url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInputError(f"the webhook's URL cannot be read: {error}") from None
    if parts.scheme not in {"http", "https"} or not host or len(url) > _MAX_URL:
        raise InvalidInputError(
            f"a webhook is an http or https URL of at most {_MAX_URL} characters",
            hint="as in https://example.com/ended",
        )
    try:
        check_link_local(host, services.settings.http_allow)
    except TaskError as error:
        raise InvalidInputError(
            f"the webhook's URL cannot be reached: {error}",
            hint="name a public host; what workers may reach all the same is set here, too",
        ) from None
    redactor = make_redactor(services.settings.redact_keys)
    query = [
        name
        for name, value in parse_qsl(parts.query)
        if redactor.hides(name) and "secret://" not in value
    ]
    if query or "@" in parts.netloc:
        raise InvalidInputError(
            "the webhook's URL has what looks like a secret, and would be stored as it is",
            hint="write secret://NAME in its place, and the worker puts it in",
        )
