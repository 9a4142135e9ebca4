"""Properties that are passed on: their texts, and what stays secret."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest

from rung.properties import Property, Secret, read_properties

TEXTS: tuple[tuple[object, Property], ...] = (
    ("text", "text"),
    ("", ""),
    (7, "7"),
    (-1, "-1"),
    (0.5, "0.5"),
    (True, "true"),
    (False, "false"),
    ({"env": "NAME"}, Secret("value")),
    ({"file": "place"}, Secret("first\nsecond")),
)

NO_TEXTS: tuple[tuple[object, str], ...] = (
    ([1], "expected a text, a number, true or false, "),
    (float("nan"), "expected a text, a number, true or false, "),
    (float("inf"), "expected a text, a number, true or false, "),
    (None, "expected a text, a number, true or false, "),
    ({"env": 1}, "expected a text, a number, true or false, "),
    ({"env": "NAME", "file": "place"}, "expected a text, a number, true or false, "),
    ({"env": "OTHER"}, "the variable OTHER is not set"),
    ({"file": "other"}, "{home}/other: No such file or directory"),
    ({"file": "."}, "{home}: Is a directory"),
    ({"file": "bytes"}, "{home}/bytes: it is not UTF-8"),
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with files that hold secrets."""
    (tmp_path / "place").write_bytes(b"first\nsecond\r\n")
    (tmp_path / "bytes").write_bytes(b"\xff")
    return tmp_path


@pytest.mark.parametrize(("given", "text"), TEXTS)
def test_texts(home: Path, given: object, text: Property) -> None:
    """Texts, numbers and booleans are taken as the library writes them, and sources are read."""
    errors: list[str] = []
    assert read_properties({"x": given}, "[t]", home, {"NAME": "value"}, errors) == {"x": text}
    assert errors == []


@pytest.mark.parametrize(("given", "message"), NO_TEXTS)
def test_no_texts(home: Path, given: object, message: str) -> None:
    """What gives no text is told by its place and left out."""
    errors: list[str] = []
    assert read_properties({"a.x": given}, "[t]", home, {"NAME": "value"}, errors) == {}
    assert errors[0].startswith(f"[t].a.x: {message.format(home=home)}")
    assert "value" not in errors[0]


def test_names_with_dots(home: Path) -> None:
    """A name may be written with dots in quotes, or as tables within tables."""
    table = {"a": {"b": {"c": 1}, "d": {"env": "NAME"}}, "e.f": 2}
    assert read_properties(table, "[t]", home, {"NAME": "value"}, []) == {
        "a.b.c": "1",
        "a.d": Secret("value"),
        "e.f": "2",
    }


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("sasl.password", True),
        ("ssl.key.pem", True),
        ("sasl.oauthbearer.client.secret", True),
        ("sasl.oauthbearer.config", True),
        ("sasl.jaas.config", True),
        ("sasl.username", False),
        ("security.protocol", False),
    ],
)
def test_names_of_secrets(home: Path, name: str, is_secret: bool) -> None:
    """A value is secret when its name says so, wherever it stands."""
    (found,) = read_properties({name: "value"}, "[t]", home, {}, []).values()
    assert isinstance(found, Secret) == is_secret


def test_a_secret_is_not_shown() -> None:
    """However a secret is printed, it shows nothing of itself; only `reveal` gives it."""
    secret = Secret("value")
    assert {str(secret), repr(secret), f"{secret}", f"{secret!s:>3}", f"{[secret]}"[1:-1]} == {"***"}
    assert secret.reveal() == "value"
    assert (secret == Secret("value"), secret == Secret("other"), secret == "value") == (True, False, False)
    assert len({secret, Secret("value")}) == 1
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    assert pickle.loads(pickle.dumps(secret)) == secret
