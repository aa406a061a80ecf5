"""The map of the command line: every command, and what happens around each of them.

Commands import what they need when they run, so that ``--help`` and ``validate`` cost neither
Temporal's nor Postgres's libraries.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from steploom.cli import (
    audit,
    audit_prune,
    channels,
    cleanup,
    configs,
    consume,
    demo,
    dev,
    diff,
    documents,
    events,
    executions,
    explain,
    graph,
    inbound,
    operators,
    people,
    providers,
    reading,
    rehearse,
    relay,
    schedules,
    tenants,
    ui,
    watching,
    worker,
)
from steploom.cli.errors import Switches, report
from steploom.cli.leaving import leave
from steploom.cli.options import BEGIN, DEFINE, OPERATE, PEOPLE, RUN, example


class _Group(TyperGroup):
    """Turns every error into one sentence and an exit code, however the command is invoked."""

    @override
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        switches = Switches(given)
        end = given.index("--") if "--" in given else len(given)
        given = [arg for place, arg in enumerate(given) if arg != "--debug" or place > end]
        try:
            code = super().main(
                given, prog_name or "steploom", complete_var, standalone_mode=False, **extra
            )
        except Exception as error:  # noqa: BLE001 (the outermost place there is)
            code = report(error, switches)
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    cls=_Group,
    name="steploom",
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    epilog=example(
        "steploom demo                          see it all at work",
        "steploom dev                           run everything here, in the foreground",
        "steploom register expense.json         store a definition",
        "steploom start expense --input @in.json --wait",
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 (when asked)

        try:
            typer.echo(f"steploom {version('steploom')}")
        except PackageNotFoundError:
            typer.echo("steploom, from a folder of sources that is not installed")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Show where an unexpected error came from. Also: STEPLOOM_DEBUG=1."
        ),
    ] = False,
) -> None:
    """Durable workflows as data.

    Store a JSON definition, Temporal runs it, Postgres keeps every step on record.

    Where Temporal and Postgres are: STEPLOOM_* variables, Temporal's own environment configuration,
    or else what `steploom dev` runs in this folder.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _group(name: str, summary: str, panel: str) -> typer.Typer:
    group = typer.Typer(
        name=name,
        help=summary,
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.add_typer(group, rich_help_panel=panel)
    return group


def _add(to: typer.Typer, name: str, function: Any, panel: str | None, *examples: str) -> None:
    to.command(name, rich_help_panel=panel, epilog=example(*examples))(function)


_add(app, "demo", demo.demo, BEGIN, "steploom demo", "steploom demo --keep")
_add(app, "dev", dev.dev, BEGIN, "steploom dev", "steploom dev --tasks my_company.tasks")

_add(
    app,
    "validate",
    documents.validate,
    DEFINE,
    "steploom validate expense.json",
    "steploom validate definitions/ --tasks my_company.tasks --strict",
    "generate | steploom validate - --output json",
)
_add(
    app,
    "rehearse",
    rehearse.rehearse,
    DEFINE,
    "steploom rehearse rehearsals/",
    "steploom rehearse expense.json -k 'second attempt' --fail-fast",
    "steploom rehearse rehearsals/ --coverage --coverage-min 90 --junit report.xml",
)
_add(
    app,
    "register",
    documents.register,
    DEFINE,
    "steploom register expense.json",
    "steploom register definitions/ --tasks my_company.tasks --as manager@example.com",
)
_definitions = _group("definitions", "Look at the stored definitions.", DEFINE)
_add(_definitions, "list", reading.list_definitions, None, "steploom definitions list")
_add(
    _definitions,
    "show",
    reading.show_definition,
    None,
    "steploom definitions show expense-approval",
    "steploom definitions show expense-approval --version 1.0.0 --output json",
)
_add(
    _definitions,
    "diff",
    diff.diff_definition,
    None,
    "steploom definitions diff expense-approval 1.0.0 1.1.0",
)
_add(
    _definitions,
    "graph",
    graph.graph_definition,
    None,
    "steploom definitions graph expense-approval",
    "steploom definitions graph expense-approval --execution expense-approval-k3v9q2",
    "steploom definitions graph expense-approval --format mermaid",
)
_add(
    app,
    "schema",
    documents.schema,
    DEFINE,
    "steploom schema > definition.schema.json",
    "steploom schema start",
)
_tasks = _group("tasks", "Look at the tasks that steps can name.", DEFINE)
_add(_tasks, "list", documents.list_tasks, None, "steploom tasks list --tasks my_company.tasks")

_add(
    app,
    "start",
    executions.start,
    RUN,
    "steploom start expense-approval --input '{\"amount\": 42}'",
    "steploom start expense-approval --input @expense.json --wait",
    "steploom start --inline draft.json --input @expense.json",
)
_add(
    app,
    "rerun",
    executions.rerun,
    RUN,
    "steploom rerun expense-approval-k3v9q2 --from book",
    "steploom rerun expense-approval-k3v9q2 --from manager --input @corrected.json --wait",
)
_add(
    app,
    "list",
    reading.list_executions,
    RUN,
    "steploom list --status running",
    "steploom list --workflow expense-approval --since 2h --output jsonl",
)
_add(app, "show", reading.show_execution, RUN, "steploom show expense-approval-k3v9q2")
_add(
    app,
    "explain",
    explain.explain,
    RUN,
    "steploom explain expense-approval-k3v9q2",
    "steploom explain expense-approval-k3v9q2 manager",
)
_add(
    app,
    "ui",
    ui.ui,
    RUN,
    "steploom ui expense-approval-k3v9q2 --role manager",
    "steploom ui expense-approval-k3v9q2 --permission pay --output json",
)
_add(app, "watch", watching.watch, RUN, "steploom watch expense-approval-k3v9q2")
_add(
    app,
    "send",
    operators.send,
    RUN,
    "steploom send order-7f2k payment.settled --data '{\"amount\": 42}'",
    "steploom send order-7f2k payment.settled --data @payment.json --id pay-4711",
)
_add(
    app,
    "pause",
    operators.pause,
    RUN,
    "steploom pause expense-approval-k3v9q2 --reason 'the bank is down'",
    "steploom pause order-7f2k order-9c4m",
)
_add(app, "resume", operators.resume, RUN, "steploom resume expense-approval-k3v9q2")
_add(
    app,
    "skip",
    operators.skip,
    RUN,
    "steploom skip expense-approval-k3v9q2 archive --reason 'archived by hand'",
)
_add(
    app,
    "cancel",
    operators.cancel,
    RUN,
    "steploom cancel expense-approval-k3v9q2",
    "steploom cancel order-7f2k order-9c4m --reason 'ordered twice'",
)

_schedule = _group("schedule", "Start executions by the clock.", RUN)
_add(
    _schedule,
    "create",
    schedules.create,
    None,
    "steploom schedule create nightly --workflow nightly-report --cron '0 2 * * *'",
    "steploom schedule create poll --workflow poll-rates --every PT15M --input @rates.json",
)
_add(_schedule, "list", schedules.list_, None, "steploom schedule list")
_add(_schedule, "show", schedules.show, None, "steploom schedule show nightly")
_add(
    _schedule,
    "pause",
    schedules.pause,
    None,
    "steploom schedule pause nightly --reason 'the source is down'",
)
_add(_schedule, "resume", schedules.resume, None, "steploom schedule resume nightly")
_add(_schedule, "trigger", schedules.trigger, None, "steploom schedule trigger nightly")
_add(_schedule, "delete", schedules.delete, None, "steploom schedule delete nightly")

_add(
    app,
    "approve",
    people.approve,
    PEOPLE,
    "steploom approve expense-approval-k3v9q2 --comment 'as agreed'",
    'steploom approve expense-approval-k3v9q2 manager --payload \'{"costCentre": "CC-410"}\'',
)
_add(
    app,
    "reject",
    people.reject,
    PEOPLE,
    "steploom reject expense-approval-k3v9q2 --comment 'no receipt' --as manager@example.com",
)
_events = _group("events", "What runs publish, and what they are started by.", OPERATE)
_add(
    _events,
    "tail",
    events.tail,
    None,
    "steploom events tail --follow",
    "steploom events tail --type workflow.failed --since 1h --output jsonl",
)
_add(
    _events,
    "send",
    inbound.send_event,
    None,
    "steploom events send order-paid.json",
    "generate | steploom events send - --org acme",
)
_add(_events, "dead", inbound.dead_letters, None, "steploom events dead --output json")
_add(
    _events,
    "retry",
    inbound.retry_letters,
    None,
    "steploom events retry 3f9c2a71",
    "steploom events retry --all",
    "steploom events retry --all --no-org --org acme",
)
_add(
    _events,
    "republish",
    events.republish,
    None,
    "steploom events republish 2d7fd5eb-73b3-5bd8-b703-e942b67bed5b",
    "steploom events republish --all",
)
_orgs = _group("orgs", "The tenants.", PEOPLE)
_add(_orgs, "create", tenants.create_org, None, "steploom orgs create acme --name 'Acme Inc.'")
_add(_orgs, "list", tenants.list_orgs, None, "steploom orgs list")
_users = _group("users", "The users of an org.", PEOPLE)
_add(_users, "create", tenants.create_user, None, "steploom users create manager@example.com")
_add(_users, "list", tenants.list_users, None, "steploom users list --org acme")

_configs = _group("configs", "What runs are configured with, in versions.", OPERATE)
_add(
    _configs,
    "create",
    configs.create_config,
    None,
    "steploom configs create '{\"limit\": 500}' --workflow expense-approval --activate",
    "steploom configs create @voice.json --channel voice --name 'voice, spring'",
    'steploom configs create \'{"currency": "EUR"}\'',
)
_add(
    _configs,
    "activate",
    configs.activate_config,
    None,
    "steploom configs activate 7 --as manager@example.com",
)
_add(
    _configs,
    "list",
    configs.list_configs,
    None,
    "steploom configs list",
    "steploom configs list --workflow expense-approval --active --output json",
)
_channels = _group("channels", "The channels that workflows are offered on.", OPERATE)
_add(
    _channels,
    "set",
    channels.set_channel,
    None,
    "steploom channels set web --workflow expense-approval --priority 10",
    "steploom channels set voice --workflow expense-approval --disable",
    "steploom channels set web --workflow expense-approval --webhook https://example.com/ended",
    "steploom channels set efax --disable",
)
_add(
    _channels,
    "list",
    channels.list_channels,
    None,
    "steploom channels list",
    "steploom channels list --workflow expense-approval --output json",
)

_audit = _group("audit", "The audit events and their seals.", OPERATE)
_add(
    _audit,
    "list",
    audit.list_events,
    None,
    "steploom audit list --type workflow.failed --since 7d",
    "steploom audit list --execution expense-approval-k3v9q2 --output jsonl",
)
_add(
    _audit,
    "verify",
    audit.verify,
    None,
    "steploom audit verify",
    "steploom audit verify --org all --output json",
    "steploom audit verify --archive /mnt/archive",
)
_add(_audit, "seal", audit.seal, None, "steploom audit seal")
_add(
    _audit,
    "prune",
    audit_prune.prune,
    None,
    "steploom audit prune --older-than P7Y --dry-run",
    "steploom audit prune --older-than P7Y --archive /mnt/archive",
)
_providers = _group("providers", "The engines that executions can be started on.", OPERATE)
_add(_providers, "list", providers.list_providers, None, "steploom providers list")

_add(app, "worker", worker.worker, OPERATE, "steploom worker --tasks my_company.tasks")
_add(app, "relay", relay.relay, OPERATE, "steploom relay")
_add(
    app,
    "consume",
    consume.consume,
    OPERATE,
    "steploom consume --topic orders",
    "steploom consume --topic orders --topic steploom.events --group triggers",
)
_add(app, "migrate", worker.migrate, OPERATE, "steploom migrate")
_add(
    app,
    "cleanup",
    cleanup.cleanup,
    OPERATE,
    "steploom cleanup --dry-run",
    "steploom cleanup --archive /mnt/archive --older-than 365",
)
_payload = _group("payload", "Look at the values of the payload store.", OPERATE)
_add(
    _payload,
    "get",
    cleanup.get_payload,
    None,
    "steploom payload get 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)


def main() -> None:
    """The command ``steploom``, as a process of its own."""
    code: object = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    leave(code if isinstance(code, int) else 0)
