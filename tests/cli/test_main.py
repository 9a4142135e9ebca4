"""The entry point: help, usage errors, exit codes and the choice of the home."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer import Typer

from cli.command import PROJECT, Rung, program
from rung.cli.errors import ExitCode
from rung.cli.main import COMMANDS, run

HEAVY = (
    "aiodynamo",
    "aiohttp",
    "confluent_kafka",
    "duckdb",
    "lmdb",
    "msgspec",
    "numpy",
    "pyarrow",
    "pydantic",
    "rich",
    "rung.campaign",
    "sqlglot",
    "starlette",
    "yaml",
)

USAGE = (
    (("stauts",), "No such command 'stauts'. Did you mean 'status'? See rung --help"),
    (("status",), "Missing argument 'USER'; see rung status --help"),
    (("status", "--att", "x"), "No such option: --att. Did you mean --at? See rung status --help"),
    (("--hom", "x", "status", "1"), "No such option: --hom. Did you mean --home? See rung --help"),
    (
        ("worker", "--until"),
        "No such option: --until. Did you mean --until-caught-up? See rung worker --help",
    ),
    (("replay", "--force"), "No such option: --force; see rung replay --help"),
    (
        ("batch", "aggregate", "--engine", "hadoop"),
        "Invalid value for '--engine': 'hadoop' is not one of 'duckdb', 'spark'; see rung batch aggregate --help",
    ),
    (("ingest",), "Missing argument 'FILE...'; see rung ingest --help"),
    (("campaign",), "Missing command; see rung campaign --help"),
    (("campaign", "aply"), "No such command 'aply'. Did you mean 'apply'? See rung campaign --help"),
    (("explain", "u", "c"), "Missing argument 'PERIOD'; see rung explain --help"),
    (
        ("serve", "--port", "99999"),
        "Invalid value for '--port': 99999 is not in the range 0<=x<=65535; see rung serve --help",
    ),
    (
        ("quarantine", "list", "--limit", "many"),
        "Invalid value for '--limit': 'many' is not a valid int range; see rung quarantine list --help",
    ),
)


@pytest.mark.parametrize(("arguments", "message"), USAGE, ids=[" ".join(row[0]) for row in USAGE])
def test_usage_errors(rung: Rung, arguments: tuple[str, ...], message: str) -> None:
    """A wrong command line is one line that says what is wrong and where to read on; exit code 2."""
    ran = rung.bare(*arguments)
    assert (ran.code, ran.err, ran.out) == (ExitCode.BAD_INPUT, f"error: {message}\n", "")


@pytest.mark.parametrize("arguments", [(), ("--help",)], ids=["nothing", "--help"])
def test_help(rung: Rung, arguments: tuple[str, ...]) -> None:
    """Help lists every command but the hidden one, and the exit codes."""
    ran = rung.bare(*arguments)
    assert ran.code == 0
    for name in COMMANDS:
        assert (f"\n  {name} " in ran.out) == (name != "demo")
    for code in ExitCode:
        assert f" {code.value}: " in " ".join(ran.out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(rung: Rung, name: str) -> None:
    """Each command that the list names is there, and explains itself and its home."""
    command = COMMANDS[name]
    found = getattr(import_module(command.module), command.attribute)
    ran = rung.bare(name, "--help")
    assert ran.code == 0
    assert f"Usage: rung {name} " in ran.out
    if isinstance(found, Typer):
        assert command.help in ran.out
    else:
        assert found.__doc__.splitlines()[0] in " ".join(ran.out.split())


@pytest.mark.parametrize(
    "arguments", [["--help"], [], ["status", "--help"], ["batch", "--help"]], ids=" ".join
)
def test_help_loads_little(arguments: list[str]) -> None:
    """Help imports no engine, no store and nothing that formats or checks values, so that it is instant."""
    script = (
        f"import sys; from rung.cli.main import run; run({arguments!r});"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stderr == "[]\n"


def test_what_is_embedded_loads_nothing_for_servers(small: Rung) -> None:
    """A command on an embedded home imports no client of a server."""
    script = (
        f"import sys; from rung.cli.main import run; run(['--home', {str(small.home)!r}, 'status', '1']);"
        f"print([name for name in {HEAVY[:3]!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stderr == "[]\n"


def test_init_for_servers(rung: Rung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home for servers is made while none of them runs; what comes next is said, and nothing else is there."""
    monkeypatch.setenv("RUNG_LOG_KIND", "kafka")
    monkeypatch.setenv("RUNG_KAFKA_BOOTSTRAP_SERVERS", "localhost:9")
    monkeypatch.setenv("RUNG_STORE_KIND", "dynamodb")
    monkeypatch.setenv("RUNG_DYNAMODB_REGION", "eu-central-1")
    home = tmp_path / "servers"
    ran = rung.bare("init", "--home", home)
    assert ran.code == 0
    assert ran.err.splitlines()[1] == (
        "Next: rung store create, then rung log create --partitions N --replication-factor R, "
        "then rung campaign apply SPEC..., then rung ingest FILE... --wait"
    )
    assert [file.name for file in home.iterdir()] == ["rung.toml"]


def test_init_with_a_wrong_variable(rung: Rung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong variable is told before anything is made."""
    monkeypatch.setenv("RUNG_LOG_KIND", "kafka")
    ran = rung.bare("init", "--home", tmp_path / "none")
    assert ran.code == ExitCode.BAD_INPUT
    assert "kafka.bootstrap_servers: empty" in ran.err
    assert not (tmp_path / "none").exists()


def test_version(rung: Rung) -> None:
    """`--version` prints the version of the project file."""
    ran = rung.bare("--version")
    assert ran.code == 0
    assert f'version = "{ran.out.split()[1]}"' in (PROJECT / "pyproject.toml").read_text(encoding="utf-8")


def test_home_is_chosen(rung: Rung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--home of the command wins over the one before it, over RUNG_HOME, over ./.rung."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c", ".rung"):
        assert rung.bare("init", "--home", name).code == 0
    (tmp_path / "b" / "rung.toml").write_text("[api]\nport = 1\n", encoding="utf-8")

    def api(*arguments: str) -> str:
        found = rung.bare(*arguments, "doctor", "--json").json["findings"]
        return next(one["found"] for one in found if one["what"] == "home").split(",")[0]

    assert api() == ".rung"
    assert api("--home", "a") == "a"
    monkeypatch.setenv("RUNG_HOME", "c")
    assert api() == "c"
    assert api("--home", "a") == "a"
    both = rung.bare("--home", "a", "doctor", "--home", "b", "--json").json["findings"]
    assert "b, writable" in [one["found"] for one in both]


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "1"),
        ("campaign", "list"),
        ("explain", "1", "c", "2021-08"),
        ("worker",),
        ("serve",),
        ("quarantine", "list"),
        ("replay",),
    ],
    ids=" ".join,
)
def test_not_initialised(rung: Rung, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Without a home, each command says how to make one; exit code 3."""
    home = tmp_path / "nowhere"
    ran = rung.bare("--home", home, *arguments)
    assert ran.code == ExitCode.NOT_INITIALISED
    assert ran.err == f"error: no Rung home in {home}: make one with `rung --home {home} init`\n"


def test_wrong_settings_stop_a_command(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wrong setting is a line of its own; exit code 2."""
    (rung.home / "rung.toml").write_text("[api]\nprot = 1\n", encoding="utf-8")
    monkeypatch.setenv("RUNG_LOG_PARTITIONS", "none")
    ran = rung("campaign", "list")
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err.splitlines() == [
        f"error: {rung.home / 'rung.toml'}: api.prot: unknown setting; did you mean api.port?",
        "error: RUNG_LOG_PARTITIONS: Expected `int`, got `str`",
    ]


def test_init_keeps_what_is_there(rung: Rung) -> None:
    """A second `init` changes nothing."""
    (rung.home / "rung.toml").write_text("# mine\n", encoding="utf-8")
    assert rung.fine("init").err.startswith("Already there")
    assert (rung.home / "rung.toml").read_text(encoding="utf-8") == "# mine\n"


def test_a_folder_that_cannot_be_made(rung: Rung, tmp_path: Path) -> None:
    """What the machine refuses is one line that names the file; exit code 5."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    ran = rung.bare("--home", tmp_path / "file" / "home", "init")
    assert (ran.code, ran.err) == (ExitCode.FAILED, f"error: {tmp_path / 'file' / 'home'}: Not a directory\n")


def test_an_unexpected_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch, rung: Rung) -> None:
    """An error that nobody expected keeps its traceback."""
    from rung import bootstrap

    def broken(path: Path) -> bool:
        raise ZeroDivisionError(path)

    monkeypatch.setattr(bootstrap, "initialise", broken)
    with pytest.raises(ZeroDivisionError):
        run(["--home", str(rung.home), "init"])


def test_a_reader_that_goes_away() -> None:
    """`rung generate | head` ends without an error."""
    command = f"{sys.executable} -c 'from rung.cli.main import main; main()' generate --transactions 50000 | head -n 1"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("\n") == 1


def test_the_program_itself(tmp_path: Path) -> None:
    """The installed program takes its arguments and sets its exit code."""
    ran = program("status", "1", environment={"RUNG_HOME": str(tmp_path / "home")})
    assert ran.code == ExitCode.NOT_INITIALISED
    assert "Traceback" not in ran.err
