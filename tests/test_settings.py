"""Settings: the file, the variables over it, and every mistake by its place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from rung.settings import (
    ApiSection,
    LogSection,
    Settings,
    SettingsError,
    as_mapping,
    load,
    template,
)

WRONG: tuple[tuple[str, dict[str, str], str], ...] = (
    ("[api]\nprot = 1", {}, "{file}: api.prot: unknown setting; did you mean api.port?"),
    ("[aip]\nport = 1", {}, "{file}: [aip]: unknown section; did you mean [api]?"),
    ("[zzz]", {}, "{file}: [zzz]: unknown section (known: log, store, worker, api)"),
    ("api = 1", {}, "{file}: api: a section is written [api], with its keys below"),
    ("[api]\nport = '8080'", {}, "{file}: api.port: Expected `int`, got `str`"),
    ("[api]\nport = true", {}, "{file}: api.port: Expected `int`, got `bool`"),
    ("[api]\nport = 65536", {}, "{file}: api.port: Expected `int` <= 65535"),
    ("[api]\nhost = 1", {}, "{file}: api.host: Expected `str`, got `int`"),
    ("[log]\npartitions = 0", {}, "{file}: log.partitions: Expected `int` >= 1"),
    ("[worker]\nidle_wait_seconds = 0", {}, "{file}: worker.idle_wait_seconds: Expected `float` > 0.0"),
    ("", {"RUNG_API_PRT": "1"}, "RUNG_API_PRT: unknown variable; did you mean RUNG_API_PORT?"),
    ("", {"RUNG_API_PORT": "many"}, "RUNG_API_PORT: Expected `int`, got `str`"),
    ("", {"RUNG_API_PORT": ""}, "RUNG_API_PORT: Expected `int`, got `str`"),
    ("", {"RUNG_LOG_PARTITIONS": "2000"}, "RUNG_LOG_PARTITIONS: Expected `int` <= 1024"),
)


@pytest.mark.parametrize(
    ("text", "variables", "message"), WRONG, ids=[row[2].split(": ", 1)[-1] for row in WRONG]
)
def test_wrong_settings(tmp_path: Path, text: str, variables: dict[str, str], message: str) -> None:
    """A wrong setting is refused with its place, what was expected and what was probably meant."""
    file = tmp_path / "rung.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, variables)
    assert str(caught.value) == message.format(file=file)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Every mistake is told, not just the first."""
    (tmp_path / "rung.toml").write_text("[api]\nprot = 1\nport = -1\n[logs]\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {"RUNG_X": "1"})
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize("content", [b"[api", b"\xff\xfe", b"[api]\nport = 1\nport = 2\n"])
def test_not_toml(tmp_path: Path, content: bytes) -> None:
    """A file that is not TOML is refused by name."""
    file = tmp_path / "rung.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {})
    assert str(caught.value).startswith(f"{file}: not TOML: ")


def test_defaults(tmp_path: Path) -> None:
    """Without a file and variables, the defaults hold."""
    assert load(tmp_path, {"PATH": "/bin", "RUNG_HOME": "x"}) == Settings()


def test_variables_override_the_file(tmp_path: Path) -> None:
    """A variable wins over the file, and the file over the default."""
    (tmp_path / "rung.toml").write_text('[api]\nport = 1\nhost = "::1"\n', encoding="utf-8")
    found = load(
        tmp_path, {"RUNG_API_PORT": "2", "RUNG_LOG_PARTITIONS": "8", "RUNG_WORKER_IDLE_WAIT_SECONDS": "0.5"}
    )
    assert found.api == ApiSection(host="::1", port=2)
    assert found.log == LogSection(partitions=8)
    assert found.worker.idle_wait_seconds == 0.5


def test_the_template_changes_nothing(tmp_path: Path) -> None:
    """The commented file is valid, shows every setting with its default, and changes none."""
    text = template()
    assert tomllib.loads(text) == {"log": {}, "store": {}, "worker": {}, "api": {}}
    (tmp_path / "rung.toml").write_text(text, encoding="utf-8")
    assert load(tmp_path, {}) == Settings()
    shown = "\n".join(
        line.removeprefix("# ") if " = " in line else "" if line.startswith("#") else line
        for line in text.splitlines()[2:]
    )
    assert tomllib.loads(shown) == as_mapping(Settings())
