"""The user that a server runs as when we are root and the server refuses to be.

Nothing of the user's own is opened for it: no ``chmod`` of a home or of a project's parents. What
it cannot reach is linked or copied to where it can.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Where root keeps what an unprivileged server must reach: /var/lib is there for such state.
STATE = Path("/var/lib/steploom")

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user of this machine with few rights."""

    name: str
    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can reach a folder; tried, since modes do not tell of ACLs."""
        return self._try("/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder))

    def can_run(self, program: Path) -> bool:
        """Whether this user can run ``PROGRAM --version``."""
        return self._try(str(program), "--version")

    def own(self, path: Path) -> None:
        """Give a file or an empty folder to this user."""
        os.chown(path, self.uid, self.gid)

    def _try(self, *argv: str) -> bool:
        try:
            done = subprocess.run(  # noqa: S603 (a list, and no input of others)
                argv,
                user=self.uid,
                group=self.gid,
                extra_groups=[],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=30,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0


def unprivileged_account() -> Account | None:
    """A user to run a server as, if we are root and there is one that we can become.

    Postgres looks its user up by id, so one without an entry in the user database will not do.
    """
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        account = Account(name, entry.pw_uid, entry.pw_gid)
        if account.can_enter(Path("/")):
            return account
    return None
