"""Java programs from Maven Central: their jars and all that they depend on, in one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from adapters.processes.cache import WayFailedError
from adapters.processes.child import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_SECONDS = 600.0
_POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>steploom</groupId>
  <artifactId>jars</artifactId>
  <version>1</version>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
_DEPENDENCY = """    <dependency>
      <groupId>{}</groupId>
      <artifactId>{}</artifactId>
      <version>{}</version>
    </dependency>"""


def fetch_jars(
    artifacts: Sequence[str], target: Path, *, is_complete: Callable[[Path], bool]
) -> None:
    """Fetches artifacts with all that they need at run time.

    Args:
        artifacts: Each as ``group:artifact:version``.
        target: The folder to be; it appears at once, with all jars in it, or not at all.
        is_complete: Whether a folder has what is needed.

    Raises:
        WayFailedError: There is no Java or no Maven, or Maven fails or takes too long.
    """
    maven = shutil.which("mvn")
    if maven is None or shutil.which("java") is None:
        raise WayFailedError("Maven cannot fetch it, since `java` and `mvn` are not both on PATH")
    made_in = target.parent / f"maven.{os.getpid()}"
    made_in.mkdir()
    try:
        (made_in / "pom.xml").write_text(_pom(artifacts))
        log = made_in / "maven.log"
        command = [maven, "-q", "-B", _PLUGIN, "-DincludeScope=runtime", "-DoutputDirectory=libs"]
        fetching = Child(command, cwd=made_in, log=log, grace=2.0)
        try:
            code = fetching.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            raise WayFailedError(f"Maven did not end in {_SECONDS:.0f} s") from None
        finally:
            fetching.stop()
        if code != 0 or not is_complete(made_in / "libs"):
            raise WayFailedError(f"Maven could not fetch it: {_first_error(log)}")
        (made_in / "libs").rename(target)
    finally:
        shutil.rmtree(made_in, ignore_errors=True)


def _pom(artifacts: Sequence[str]) -> str:
    each = (_DEPENDENCY.format(*map(escape, artifact.split(":"))) for artifact in artifacts)
    return _POM.format(dependencies="\n".join(each))


def _first_error(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if "ERROR" in line] or lines or ["it said nothing"]
    return errors[0][:300]
