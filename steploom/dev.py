"""``steploom dev``: Temporal, Postgres and a worker in the foreground, their data kept.

What the environment already names (``STEPLOOM_TEMPORAL_ADDRESS``, ``STEPLOOM_DATABASE_URL``) is
used; the rest is started here. All children are under guards, so none outlives this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from adapters.postgres import migrate
from adapters.postgres.server import EmbeddedPostgres
from adapters.temporal import search_attributes
from adapters.temporal.binary import at_most_every, find_or_install_temporal
from adapters.temporal.connection import connect
from adapters.temporal.server import TemporalServer
from definitions.errors import UnreachableError
from steploom import devinfo
from steploom.devinfo import DevInfo
from steploom.devoptions import DevOptions
from steploom.devworker import DevWorker
from worker.connections import temporal_connection
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

    Say = Callable[[str], None]

_TEND_SECONDS = 0.25


class DevStack:
    """Everything of ``steploom dev``, as a context manager: ready inside, gone after.

    Call ``tend`` now and then while inside. ``info`` has the addresses. Enter it outside of any
    event loop: it runs one of its own while it starts.
    """

    info: DevInfo

    def __init__(self, options: DevOptions, say: Say) -> None:
        self.options = options
        self._say = say
        self._settings = Settings()
        self._exits = contextlib.ExitStack()
        self._postgres: EmbeddedPostgres | None = None
        self._temporal: TemporalServer | None = None
        self._worker: DevWorker | None = None

    def __enter__(self) -> Self:
        """Start everything.

        Raises:
            RefusedError: One runs in this folder already.
            UnreachableError: A server cannot be started or reached.
            SteploomError: The worker ended before it was ready.
        """
        with contextlib.ExitStack() as exits:
            folder = self.options.folder
            # Callbacks run in reverse: the file goes first, then the worker, then the servers.
            exits.enter_context(devinfo.hold(folder))
            self._start_servers(exits)
            info = self._addresses()
            self._say("migrating the database")
            migrate.upgrade(info.database)
            worker = DevWorker(info, self._settings, self.options, self._say)
            self._worker = worker
            exits.callback(worker.stop)
            asyncio.run(self._start_worker(worker, info))
            devinfo.write_tasks(
                folder,
                modules=[*self._settings.tasks, *self.options.tasks],
                catalogues=[*self._settings.catalogue, *self.options.catalogues],
                payloads=info.payloads,
            )
            devinfo.write(folder, info)
            exits.callback(devinfo.remove, folder)
            self.info = info
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def tend(self) -> None:
        """Start the worker again if it has ended.

        Raises:
            UnreachableError: A server has ended.
        """
        servers = (("Postgres", self._postgres), ("Temporal", self._temporal))
        for name, server in servers:
            code = server.poll() if server else None
            if code is not None:
                raise UnreachableError(
                    name,
                    f"{name} ended with exit code {code}",
                    hint=f"see the logs in {self._data_dir}, and start `steploom dev` again",
                )
        if self._worker is not None:
            self._worker.tend()

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id; another one after it was started again."""
        return self._worker.pid if self._worker else None

    @property
    def _data_dir(self) -> Path:
        return (self.options.data_dir or self.options.folder / devinfo.FOLDER).absolute()

    def _start_servers(self, exits: contextlib.ExitStack) -> None:
        """Start both at once: Temporal comes up while Postgres is being made."""
        options = self.options
        temporal = postgres = None
        if self._settings.temporal_address is None:
            binary = find_or_install_temporal(at_most_every(15.0, self._say))
            self._say("starting Temporal")
            temporal = TemporalServer(
                binary,
                db_file=self._data_dir / "temporal.db",
                port=options.temporal_port,
                ui_port=options.ui_port,
                namespace=self._settings.temporal_namespace,
            )
            exits.callback(temporal.stop)
            temporal.launch()
        if self._settings.database_url is None:
            self._say("starting Postgres")
            postgres = EmbeddedPostgres(self._data_dir / "postgres", options.database_port)
            exits.callback(postgres.stop)
            postgres.start()
        if temporal is not None:
            temporal.wait_until_ready()
        self._temporal, self._postgres = temporal, postgres

    def _addresses(self) -> DevInfo:
        settings = self._settings
        url = settings.database_url
        return DevInfo(
            temporal=self._temporal.address if self._temporal else settings.temporal_address or "",
            namespace=settings.temporal_namespace,
            temporal_ui=self._temporal.ui_url if self._temporal else settings.temporal_ui_url,
            database=self._postgres.url
            if self._postgres
            else url.get_secret_value()
            if url
            else "",
            payloads=settings.payloads or str(self._data_dir / "payloads"),
            pid=os.getpid(),
        )

    async def _start_worker(self, worker: DevWorker, info: DevInfo) -> None:
        settings = self._settings.model_copy(update={"temporal_address": info.temporal})
        client = await connect(temporal_connection(settings))
        self._say("registering the search attributes, starting the worker")
        await search_attributes.register(client)
        worker.start()
        await worker.wait_until_it_polls(client)


def run_dev(
    options: DevOptions,
    *,
    say: Say,
    ready: Callable[[DevStack, float], None],
) -> int:
    """Run ``steploom dev`` until Ctrl-C or SIGTERM.

    Args:
        options: What to start, and where.
        say: Told in a sentence what goes on; progress, for stderr.
        ready: Called once when all is ready, with the stack and the seconds that it took.

    Returns:
        0, since to be stopped is how it ends well.

    Raises:
        SteploomError: As ``DevStack`` does, after everything has been stopped.
    """
    with _stopped_by_signals():
        try:
            started = time.monotonic()
            with DevStack(options, say) as stack:
                ready(stack, time.monotonic() - started)
                try:
                    while True:
                        stack.tend()
                        time.sleep(_TEND_SECONDS)
                finally:
                    _ignore_signals()  # each child has a limited time; a second Ctrl-C adds nothing
                    say("stopping")
        except KeyboardInterrupt:
            return 0


def summary(stack: DevStack, seconds: float) -> str:
    """What a person wants to know when ``steploom dev`` is ready."""
    info, folder = stack.info, stack.options.folder
    program = "./dev" if (folder / "dev").is_file() and not _on_path("steploom") else "steploom"
    return "\n".join(
        (
            f"Ready in {seconds:.1f} s.",
            "",
            f"  Temporal     {info.temporal} (namespace {info.namespace})",
            f"  Temporal UI  {info.temporal_ui or '-'}",
            f"  Postgres     {info.database}",
            f"  Worker       process {stack.worker_pid}",
            "",
            "Next, in another terminal in this folder:",
            "",
            f"  {program} demo                     see it all at work",
            f"  {program} register FILE            store a definition",
            f"  {program} start ID --input '{{}}'    run it",
            f"  {program} list                     see how the runs are doing",
            f"  psql '{info.database}'",
            "",
            "Ctrl-C stops everything; the data stays.",
        )
    )


def _on_path(program: str) -> bool:
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return any((Path(folder) / program).is_file() for folder in folders if folder)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end us as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.getsignal(name) for name in names}
    for name, handler in before.items():
        if handler is not signal.SIG_IGN or name is signal.SIGTERM:  # `nohup` ignores SIGHUP
            signal.signal(name, interrupt)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _ignore_signals() -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
