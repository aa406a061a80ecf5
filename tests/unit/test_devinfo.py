"""What a running `steploom dev` tells others about itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from definitions.errors import RefusedError
from steploom import devinfo
from steploom.devinfo import DevInfo, discover, hold

if TYPE_CHECKING:
    from pathlib import Path

INFO = DevInfo(
    temporal="127.0.0.1:7233",
    namespace="default",
    temporal_ui="http://127.0.0.1:8233",
    database="postgresql://postgres:secret@127.0.0.1:5432/steploom",
    pid=4711,
)


def test_the_file_has_the_documented_shape(tmp_path: Path) -> None:
    """Other programs read the file, so its keys are fixed; it has a password, so its mode is."""
    with hold(tmp_path):
        devinfo.write(tmp_path, INFO)
        file = tmp_path / ".steploom" / "dev.json"
        assert json.loads(file.read_text()) == {
            "temporal": "127.0.0.1:7233",
            "namespace": "default",
            "temporalUi": "http://127.0.0.1:8233",
            "database": "postgresql://postgres:secret@127.0.0.1:5432/steploom",
            "app": None,
            "pid": 4711,
        }
        assert file.stat().st_mode & 0o777 == 0o600
    assert not file.exists()


def test_it_is_found_from_a_folder_below(tmp_path: Path) -> None:
    """Commands work anywhere inside the project."""
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    with hold(tmp_path):
        devinfo.write(tmp_path, INFO)
        assert discover(below) == INFO
    assert discover(below) is None


def test_it_is_not_looked_for_outside_of_the_project(tmp_path: Path) -> None:
    """A folder with .git is a project's top: another project's servers are none of its business."""
    inner = tmp_path / "inner"
    (inner / ".git").mkdir(parents=True)
    with hold(tmp_path):
        devinfo.write(tmp_path, INFO)
        assert discover(inner) is None


def test_a_file_that_a_killed_one_left_is_passed_over_and_removed(tmp_path: Path) -> None:
    """Nothing holds the lock, so the addresses in the file are of no use."""
    (tmp_path / ".steploom").mkdir()
    devinfo.write(tmp_path, INFO)
    assert discover(tmp_path) is None
    with hold(tmp_path):
        assert devinfo.read(tmp_path) is None


def test_a_second_one_is_refused_with_the_first_ones_addresses(tmp_path: Path) -> None:
    """The message has what one needs to use the first or to stop it, but no password."""
    with hold(tmp_path):
        devinfo.write(tmp_path, INFO)
        with pytest.raises(RefusedError) as caught, hold(tmp_path):
            pass
    assert "127.0.0.1:7233" in caught.value.message
    assert "secret" not in caught.value.message
    assert "kill" in (caught.value.hint or "")


def test_the_folder_is_kept_out_of_git(tmp_path: Path) -> None:
    """A database and its password are not committed by accident."""
    with hold(tmp_path):
        assert (tmp_path / ".steploom" / ".gitignore").read_text() == "*\n"


def test_a_broken_file_is_passed_over(tmp_path: Path) -> None:
    """Half a file, or one of another program, is as none."""
    with hold(tmp_path):
        (tmp_path / ".steploom" / "dev.json").write_text('{"temporal": ')
        assert discover(tmp_path) is None
