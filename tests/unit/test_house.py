"""The house's own rules that no linter holds."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 500

#: Text that some tool writes (docs/validation.md is one), or that is quoted as it is.
NOT_WRITTEN_BY_HAND = {".lock", ".json", ".svg", ".css", ".txt", ".md"}

#: In parts, for this file is checked as well.
_HOSTS = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "proxy." + "golang.org",
    "repo1." + "maven",
    "repo.maven." + "apache.org",
    "deb." + "debian.org",
    "static.crates." + "io",
    "index.crates." + "io",
)
_MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:work|root|home)" + r"/\w")


#: What users import: these two say so in their __init__, and no workflow imports them.
_OFFERING = (ROOT / "steploom", ROOT / "workflow_events")


def _files() -> list[Path]:
    """What is, or is about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git repository")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def _packages() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return [str(package) for package in packages]


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def test_all_packages_come_from_one_place() -> None:
    """Our names are plain: another distribution has an `adapters` as well."""
    homes = set()
    for package in _packages():
        module = importlib.import_module(package)
        assert module.__file__ is not None, f"{package} has no __init__.py"
        homes.add(Path(module.__file__).resolve().parents[1])
    assert len(homes) == 1


def test_every_package_is_typed() -> None:
    """A checker believes the annotations of whoever says that there are some."""
    missing = [name for name in _packages() if not (ROOT / name / "py.typed").is_file()]
    assert missing == []


def test_every_init_is_a_docstring_only() -> None:
    """An __init__ runs again inside the workflow sandbox, and hides what depends on what."""
    for file in _files():
        if file.name != "__init__.py" or file.parent in _OFFERING:
            continue
        body = ast.parse(file.read_text()).body
        assert len(body) == 1, file
        assert isinstance(body[0], ast.Expr), file
        assert ast.get_docstring(ast.parse(file.read_text())), file


def test_no_file_is_too_long() -> None:
    """A file says one thing."""
    for file in _files():
        text = _text(file)
        if text is not None and file.suffix not in NOT_WRITTEN_BY_HAND:
            assert text.count("\n") <= LONGEST, file.relative_to(ROOT)


def test_no_file_names_a_machine_or_a_registry() -> None:
    """The repository works anywhere: no path of one machine, no host of one registry."""
    for file in _files():
        text = _text(file)
        if text is None:
            continue
        place = file.relative_to(ROOT)
        found = _MACHINE_PATH.search(text)
        assert found is None, f"{place}: {found}"
        for host in _HOSTS:
            assert host not in text, f"{place}: {host}"


def _documents() -> list[Path]:
    return [file for file in _files() if file.suffix == ".md"]


def test_relative_links_resolve() -> None:
    """A link in a document leads somewhere."""
    for document in _documents():
        for link in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if not re.match(r"[a-z]+:", link):
                target = document.parent / link
                assert target.exists(), f"{document.relative_to(ROOT)}: {link}"


def test_paths_in_documents_exist() -> None:
    """What a document calls by its path is there, so that it does not tell of the past."""
    files = _files()
    top = {file.relative_to(ROOT).parts[0] for file in files}
    names = {file.name for file in files}
    for document in _documents():
        for word in re.findall(r"`([\w./*-]+)`", document.read_text()):
            place = f"{document.relative_to(ROOT)}: {word}"
            path = word.removeprefix("./").rstrip("/")
            if "/" in path and path.split("/")[0] in top:
                here = [*ROOT.glob(path), *document.parent.glob(path)]
                assert here, place
            elif re.fullmatch(r"[\w-]+\.(py|md|toml|lock|ini)", path):
                assert path in names, place


def test_the_lock_files_agree() -> None:
    """The development lock has everything of the other one, in the same version."""
    pin = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
    runtime = dict(pin.findall((ROOT / "requirements.lock").read_text()))
    development = dict(pin.findall((ROOT / "requirements-dev.lock").read_text()))
    assert runtime.items() <= development.items()


def test_every_dependency_is_locked() -> None:
    """A dependency that pyproject.toml names is in the locks that `./dev` installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for lock, wanted in (
        (
            "requirements.lock",
            [
                *project["dependencies"],
                *extras["embedded"],
                *extras["telemetry"],
                *extras["kafka"],
                *extras["aws"],
                *extras["build"],
            ],
        ),
        ("requirements-dev.lock", [*project["dependencies"], *extras["bench"], *extras["dev"]]),
    ):
        locked = (ROOT / lock).read_text().lower()
        for requirement in wanted:
            name = re.split(r"[\[<>=~!; ]", requirement)[0].lower()
            assert re.search(rf"^{re.escape(name)}(\[|==)", locked, re.MULTILINE), requirement
