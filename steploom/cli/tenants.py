"""``orgs`` and ``users``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steploom.cli.options import ActorOption, OrgOption, OutputOption, actor
from steploom.cli.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from definitions.ports import Organization
    from definitions.views import UserView
    from steploom.services import Services

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A new name.")]


def create_org(
    slug: Annotated[
        str,
        typer.Argument(metavar="SLUG", help="Its name in commands: letters, digits and hyphens."),
    ],
    name: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
    as_: ActorOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make an org: a tenant, whose definitions and executions no other one sees."""
    made: Organization = _with_store(
        lambda services: services.store.create_org(slug, name, created_by=actor(as_))
    )
    Output(output).result(
        made.model_dump(mode="json"), lambda: f"Made the org {made.slug} ({made.id})."
    )


def list_orgs(output: OutputOption = Format.TABLE) -> None:
    """List all orgs."""
    found: Sequence[Organization] = _with_store(lambda services: services.store.list_orgs())

    def show() -> Any:
        from steploom.cli.tables import moment, table  # noqa: PLC0415 (rich only for people)

        shown = table("ORG", "NAME", "MADE", "ID")
        for one in found:
            shown.add_row(one.slug, one.name, moment(one.created_at), str(one.id))
        return shown

    Output(output).results([one.model_dump(mode="json") for one in found], show)


def create_user(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What --as will take.")],
    org: OrgOption = "default",
    as_: ActorOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make a user of an org."""
    from steploom.cli.session import in_session  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> UserView:
        return await services.store.create_user(owner.id, name, created_by=actor(as_))

    made = in_session(org, work, {"postgres"})
    Output(output).result(made.to_json(), lambda: f"Made the user {made.name} of {org}.")


def list_users(org: OrgOption = "default", output: OutputOption = Format.TABLE) -> None:
    """List the users of an org."""
    from steploom.cli.session import in_session  # noqa: PLC0415

    async def work(services: Services, owner: Organization) -> Sequence[UserView]:
        return await services.store.list_users(owner.id)

    found = in_session(org, work, {"postgres"})

    def show() -> Any:
        from steploom.cli.tables import moment, table  # noqa: PLC0415

        shown = table("USER", "MADE", "ID")
        for one in found:
            shown.add_row(one.name, moment(one.created_at), str(one.id))
        return shown

    Output(output).results([one.to_json() for one in found], show)


def _with_store(work: Callable[[Services], Awaitable[Any]]) -> Any:
    from steploom.services import load_settings, open_services, resolve_settings  # noqa: PLC0415

    async def run() -> Any:
        settings = resolve_settings(load_settings(), Path.cwd())
        async with open_services(settings, {"postgres"}) as services:
            return await work(services)

    return asyncio.run(run())
