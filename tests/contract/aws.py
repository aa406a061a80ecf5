"""AWS for tests: moto's server with its interpreter of state machines turned on, as a process."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: One request after the other: moto looks for an execution's name and adds it without any lock, so
#: that two starts at the same instant could both be the first. AWS does not.
_PROGRAM = """
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
app = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, app, threaded=False)
print(server.port, flush=True)
server.serve_forever()
"""


@contextmanager
def running_moto(log: Path) -> Iterator[str]:
    """The server's address."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, stderr=output, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            # It listens before it says where; nothing more comes on this pipe.
            port = process.stdout.readline().strip()
            assert port.isdigit(), log.read_text()
            url = f"http://127.0.0.1:{port}"
            _post(f"{url}/moto-api/config", {"stepfunctions": {"execute_state_machine": True}})
            yield url
        finally:
            process.terminate()


def _post(url: str, body: object) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")  # noqa: S310
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        return
