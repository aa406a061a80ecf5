"""What must not be stored is taken out, whatever it is in; everything else stays as it is."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from activities.secrets import Secrets, has_reference
from definitions.errors import TaskError
from definitions.redaction import REDACTED, Redactor, has_redacted
from steploom.logging import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = before, level
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "name",
    ["password", "Password", "PASS_WORD", "api-key", "apiKey", "Set-Cookie", "AUTHORIZATION"],
)
def test_a_name_is_known_however_it_is_written(name: str) -> None:
    """Case, hyphens and underscores make no difference."""
    assert Redactor().stored({"a": [{name: {"deep": 1}}]}) == {"a": [{name: REDACTED}]}


@pytest.mark.parametrize("name", ["tokens", "nextToken", "passwords_changed", "secretary"])
def test_a_name_that_only_looks_like_one_stays(name: str) -> None:
    """Names are compared as a whole."""
    assert Redactor().stored({name: "x"}) == {name: "x"}


def test_null_under_a_hidden_name_stays_null() -> None:
    """That nothing is there gives nothing away."""
    assert Redactor().stored({"password": None}) == {"password": None}


@given(JSON)
def test_a_value_without_secrets_is_the_very_same_object(value: Any) -> None:
    """So that the usual case costs no copy."""
    redactor = Redactor(keys=())
    redactor.learn(["\ue000never-drawn\ue000"])
    assert redactor.stored(value) is value


@given(JSON, st.text(alphabet="abcdefgh", min_size=6, max_size=12))
def test_a_learnt_secret_is_in_no_text_and_no_name(value: Any, secret: str) -> None:
    """Wherever it stands in a value, as a part of a text or of a member's name."""
    redactor = Redactor()
    redactor.learn([secret])
    planted = {"v": value, "at": f"<{secret}>", f"k{secret}": [secret, {secret: secret}]}
    stored = redactor.stored(planted)
    assert secret not in json.dumps(stored)
    assert has_redacted(stored)


def test_short_secrets_are_not_looked_for() -> None:
    """They would be found in every other word."""
    redactor = Redactor()
    redactor.learn(["abc"])
    assert redactor.text("an abc of it") == "an abc of it"


def test_of_two_secrets_that_begin_alike_nothing_is_left_over() -> None:
    """The longer one is looked for first."""
    redactor = Redactor()
    redactor.learn(["secret", "secret-and-more"])
    assert redactor.text("secret-and-more, secret") == f"{REDACTED}, {REDACTED}"


@pytest.mark.parametrize("secret", ['pl4nted"s/ecret+\\value', "größe'n-wahn", "0123456"])
@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_a_secret_is_known_in_other_shapes(secret: str, before: str) -> None:
    """Quoted, quoted twice, in a URL, and in base64, also behind a user's name."""
    redactor = Redactor()
    redactor.learn([secret])
    data = f"{before}{secret}:".encode()
    for text in (
        json.dumps(json.dumps({"k": before + secret})),
        json.dumps(json.dumps({"k": before + secret}, ensure_ascii=False), ensure_ascii=False),
        repr({"k": secret}),
        quote(secret, safe=""),
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
    ):
        assert REDACTED in redactor.text(f"x {text} y"), text


def test_references_are_resolved_from_the_environment_and_from_files(tmp_path: Path) -> None:
    """Inside of texts, too; the file comes first, and an editor's newline is no part of it."""
    (tmp_path / "in-file").write_text("from-file\n")
    environment = {"STEPLOOM_SECRET_IN_ENV": "from-env", "STEPLOOM_SECRET_IN_FILE": "not-this"}
    secrets = Secrets(tmp_path, Redactor(), environment)
    given = {"a": ["Bearer secret://in-env", 1, None], "b": {"c": "secret://in-file"}}
    assert has_reference(given)
    resolved = secrets.resolve(given, uuid4())
    assert resolved == {"a": ["Bearer from-env", 1, None], "b": {"c": "from-file"}}
    assert not has_reference(resolved)


def test_a_secret_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Which no retry makes better."""
    secrets = Secrets(tmp_path, Redactor(), {})
    with pytest.raises(TaskError, match="no secret missing") as raised:
        secrets.resolve("secret://missing", uuid4())
    assert raised.value.type == "SecretNotFound"
    assert not raised.value.retryable


@pytest.mark.parametrize("name", ["../outside", ".hidden", "/etc/passwd"])
def test_nothing_outside_of_the_directory_is_ever_read(tmp_path: Path, name: str) -> None:
    """What is no name of a secret is no reference: it stays as it is."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (tmp_path / "outside").write_text("not for you")
    (folder / ".hidden").write_text("not for you")
    secrets = Secrets(folder, Redactor(), {})
    assert secrets.resolve(f"secret://{name}", uuid4()) == f"secret://{name}"


@pytest.mark.usefixtures("_logging_restored")
@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_has_no_values(capsys: pytest.CaptureFixture[str], style: str) -> None:
    """Local variables are what a task was given; and nothing is cut or folded within a secret."""
    secret = "0123456789abcdef" * 12
    redactor = Redactor()
    redactor.learn([secret])
    configure_logging("INFO", style, hide=redactor.text)

    def work(request: dict[str, str]) -> None:
        message = f"the gateway at the other end of the world refused {secret} of {len(request)}"
        raise RuntimeError(message)

    given = {"password": "hunter2", "key": secret}
    with pytest.raises(RuntimeError) as raised:
        work(given)
    structlog.get_logger("here").error("failed", exc_info=raised.value)
    logging.getLogger("library").error("of a library", exc_info=raised.value)
    lines = capsys.readouterr().err
    assert lines.count(f"refused {REDACTED} of 2") >= 2
    assert "hunter2" not in lines
    assert secret[:16] not in lines


@pytest.mark.usefixtures("_logging_restored")
@pytest.mark.parametrize("style", ["json", "console"])
def test_no_log_line_has_a_secret(capsys: pytest.CaptureFixture[str], style: str) -> None:
    """Neither in a message, nor in a value, nor in a traceback, ours or a library's."""
    secret = 'pl4nted"secret'
    redactor = Redactor()
    configure_logging("DEBUG", style, hide=redactor.text)
    redactor.learn([secret])
    log = structlog.get_logger("here")
    log.warning("message", value=secret, inside={"deep": [secret]})
    error = RuntimeError(secret)
    log.error("failed", exc_info=error)
    logging.getLogger("library").error("of a library: %s", secret, exc_info=error)
    lines = capsys.readouterr().err
    assert REDACTED in lines
    assert secret not in lines
    assert json.dumps(secret)[1:-1] not in lines
