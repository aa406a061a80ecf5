"""The configuration that a run takes: what is active when it begins, for its workflow and channel.

A rerun takes that of the run it goes on from, as it takes its version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from definitions.configuration import config_problems
from definitions.errors import InvalidInputError, RefusedError
from definitions.redaction import has_redacted
from definitions.requirements import step_requirements
from definitions.schemas import InvalidSchemaError

if TYPE_CHECKING:
    from uuid import UUID

    from activities.reruns import Rerun
    from definitions.configuration import ConfigStore
    from definitions.requirements import StepRequirements


class PinnedConfig(NamedTuple):
    """What a run is pinned to. ``channel``: the one that it is on, as far as it is offered on any.

    ``webhook_url``: who is told of its end. It may refer to secrets. ``requirements``: what
    operators have said of the fields of its steps, by their ids.
    """

    channel: str | None
    config: dict[str, Any]
    webhook_url: str | None
    requirements: dict[str, StepRequirements]


async def pin_configuration(
    configs: ConfigStore,
    org_id: UUID,
    definition_id: UUID,
    channel: str | None,
    *,
    version_id: UUID | None = None,
    instance_id: UUID | None = None,
    rerun: Rerun | None = None,
) -> PinnedConfig:
    """What a run is pinned to that begins now.

    Args:
        configs: The configurations.
        org_id: The run's org.
        definition_id: ``workflow_definitions.id`` of its workflow.
        channel: The channel that its start names.
        version_id: The version that it follows.
        instance_id: The run. Where it has begun on record, and nobody heard of that, what it was
            pinned to then counts.
        rerun: What it goes on from. On the same channel, the earlier run's configuration counts,
            even where the channel was disabled since. The webhook is always today's.

    Raises:
        InvalidInputError: The channel is disabled, or what is stored cannot be used.
        RefusedError: The earlier run's configuration is redacted in its record.
    """
    active = await configs.active_for(org_id, definition_id, channel, version_id, instance_id)
    config = active.config
    if active.recorded is not None and not has_redacted(active.recorded):
        config = active.recorded
    elif rerun is not None and rerun.same_channel:
        earlier = await configs.pinned_by(org_id, rerun.origin.instance_id)
        config = {} if earlier is None else earlier
        if has_redacted(config):
            raise RefusedError(
                f"the configuration of {rerun.origin.execution_id} is redacted in its record",
                hint="start a new run",
            )
    elif not active.enabled:
        raise InvalidInputError(
            f"the channel {active.channel or channel or 'web'} is disabled",
            hint="`steploom channels list` shows those that are not",
        )
    problems = config_problems(config)
    if problems:
        sentences = "; ".join(f"{one.pointer or '/'}: {one.message}" for one in problems)
        raise InvalidInputError(
            f"the active configuration cannot be used: {sentences}",
            hint="`steploom configs list` shows what is active",
        )
    try:
        requirements = step_requirements(active.requirements)
    except InvalidSchemaError as error:
        raise InvalidInputError(
            f"the requirements of the workflow's nodes cannot be used: {error}",
            hint="correct node_io_requirements.validation_rules",
        ) from None
    return PinnedConfig(active.channel, config, active.webhook_url, requirements)
