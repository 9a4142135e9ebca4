"""Settings: the file, the variables over it, and every mistake by its place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from rung.properties import revealed
from rung.settings import (
    ApiSection,
    DynamodbSection,
    KafkaSection,
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
    (
        "[zzz]",
        {},
        "{file}: [zzz]: unknown section (known: log, kafka, store, dynamodb, worker, lake, batch, api, api.tokens, console, webhooks)",
    ),
    ("api = 1", {}, "{file}: api: a section is written [api], with its keys below"),
    ("[api]\nport = '8080'", {}, "{file}: api.port: Expected `int`, got `str`"),
    ("[api]\nport = true", {}, "{file}: api.port: Expected `int`, got `bool`"),
    ("[api]\nport = 65536", {}, "{file}: api.port: Expected `int` <= 65535"),
    ("[api]\nhost = 1", {}, "{file}: api.host: Expected `str`, got `int`"),
    ("[log]\npartitions = 0", {}, "{file}: log.partitions: Expected `int` >= 1"),
    ("[worker]\nidle_wait_seconds = 0", {}, "{file}: worker.idle_wait_seconds: Expected `float` > 0.0"),
    ("[log]\nkind = 'kafak'", {}, "{file}: log.kind: expected embedded or kafka, got 'kafak'"),
    ("[store]\nkind = 1", {}, "{file}: store.kind: expected lmdb or dynamodb, got 1"),
    (
        "[kafka]\ngroup_protocol = 'new'",
        {},
        "{file}: kafka.group_protocol: expected classic or consumer, got 'new'",
    ),
    (
        "[kafka]\nsession_timeout_seconds = 0",
        {},
        "{file}: kafka.session_timeout_seconds: Expected `float` >= 1.0",
    ),
    ("[kafka]\nclient = 1", {}, "{file}: kafka.client: Expected `object`, got `int`"),
    ("[kafka.clint]", {}, "{file}: kafka.clint: unknown setting; did you mean kafka.client?"),
    (
        "[kafka.client]\nx = [1]",
        {},
        '{file}: kafka.client.x: expected a text, a number, true or false, {{file = "PATH"}} or {{env = "NAME"}}, got `list`',
    ),
    (
        "[dynamodb]\ntable_prefix = 'a b'",
        {},
        "{file}: dynamodb.table_prefix: Expected `str` matching regex '^[a-zA-Z0-9_.-]{{1,200}}$'",
    ),
    (
        "",
        {"RUNG_LOG_KIND": "kafka"},
        '{file}: kafka.bootstrap_servers: empty, and log.kind is kafka: name the brokers, such as bootstrap_servers = "localhost:9092" in [kafka], or set RUNG_KAFKA_BOOTSTRAP_SERVERS',
    ),
    (
        "",
        {"RUNG_STORE_KIND": "dynamodb"},
        '{file}: dynamodb.region: empty, and store.kind is dynamodb: name the region, such as region = "eu-central-1" in [dynamodb], or set RUNG_DYNAMODB_REGION',
    ),
    ("", {"RUNG_API_PRT": "1"}, "RUNG_API_PRT: unknown variable; did you mean RUNG_API_PORT?"),
    ("", {"RUNG_API_PORT": "many"}, "RUNG_API_PORT: Expected `int`, got `str`"),
    ("", {"RUNG_API_PORT": ""}, "RUNG_API_PORT: Expected `int`, got `str`"),
    (
        "[api.tokens]\nalgorithms = ['HS256']",
        {},
        "{file}: api.tokens.algorithms: expected RS256 or ES256 or EdDSA, got ['HS256']",
    ),
    (
        "",
        {"RUNG_API_TOKENS_ALGORITHMS": "RS256, none"},
        "RUNG_API_TOKENS_ALGORITHMS: expected RS256 or ES256 or EdDSA, got ['RS256', 'none']",
    ),
    (
        "[api.tokens]\nalgorithms = []",
        {},
        "{file}: api.tokens.algorithms: expected RS256 or ES256 or EdDSA, got []",
    ),
    ("[api.tokens]\nleeway_seconds = 61", {}, "{file}: api.tokens.leeway_seconds: Expected `int` <= 60"),
    (
        "[api.tokens]\nisuer = ''",
        {},
        "{file}: api.tokens.isuer: unknown setting; did you mean api.tokens.issuer?",
    ),
    ("[api.token]", {}, "{file}: api.token: unknown setting; did you mean api.tokens?"),
    (
        "[api.tokens]\nissuer = 'https://issuer.example'",
        {},
        "{file}: api.tokens.audience: empty, and api.tokens.issuer is set: set audience in [api.tokens], or RUNG_API_TOKENS_AUDIENCE\n{file}: api.tokens.jwks: empty, and api.tokens.issuer is set: set jwks in [api.tokens], or RUNG_API_TOKENS_JWKS",
    ),
    ("[api]\nallowed_hosts = 'a'", {}, "{file}: api.allowed_hosts: Expected `array`, got `str`"),
    (
        "[api]\nclient_header = 'X-Real-IP'",
        {},
        "{file}: api.client_header: Expected `str` matching regex '^[a-z0-9-]*$'",
    ),
    ("", {"RUNG_LOG_PARTITIONS": "2000"}, "RUNG_LOG_PARTITIONS: Expected `int` <= 1024"),
)

CLIENT = """
[kafka.client]
security.protocol = "SASL_SSL"
"sasl.password" = {env = "KAFKA_PASSWORD"}
ssl.key.password = {file = "key"}
"sasl.oauthbearer.client.secret" = "written here"
socket.keepalive.enable = true
"fetch.wait.max.ms" = 50
"""


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


def test_servers(tmp_path: Path) -> None:
    """Log and store on servers can be chosen by variables alone."""
    found = load(
        tmp_path,
        {
            "RUNG_LOG_KIND": "kafka",
            "RUNG_KAFKA_BOOTSTRAP_SERVERS": "one:9092,two:9092",
            "RUNG_KAFKA_QUARANTINE_TOPIC": "",
            "RUNG_STORE_KIND": "dynamodb",
            "RUNG_DYNAMODB_REGION": "eu-central-1",
            "RUNG_DYNAMODB_ATTEMPTS_MAX": "3",
        },
    )
    assert (found.log.kind, found.store.kind) == ("kafka", "dynamodb")
    assert found.kafka == KafkaSection(bootstrap_servers="one:9092,two:9092", quarantine_topic="")
    assert found.dynamodb == DynamodbSection(region="eu-central-1", attempts_max=3)


def test_properties_of_the_client(tmp_path: Path) -> None:
    """Properties come as texts; secrets come from where the file says, and are shown nowhere."""
    (tmp_path / "rung.toml").write_text(CLIENT, encoding="utf-8")
    (tmp_path / "key").write_text("from a file\n", encoding="utf-8")
    found = load(tmp_path, {"KAFKA_PASSWORD": "from a variable"})
    assert revealed(found.kafka.client) == {
        "security.protocol": "SASL_SSL",
        "sasl.password": "from a variable",
        "ssl.key.password": "from a file",
        "sasl.oauthbearer.client.secret": "written here",
        "socket.keepalive.enable": "true",
        "fetch.wait.max.ms": "50",
    }
    shown = f"{found} {found!r} {as_mapping(found)}"
    assert "from a" not in shown
    assert "written here" not in shown
    assert as_mapping(found)["kafka"]["client"] == {
        "security.protocol": "SASL_SSL",
        "sasl.password": "***",
        "ssl.key.password": "***",
        "sasl.oauthbearer.client.secret": "***",
        "socket.keepalive.enable": "true",
        "fetch.wait.max.ms": "50",
    }


def test_secrets_that_are_not_there(tmp_path: Path) -> None:
    """A secret whose file or variable is missing is named, and no other one is shown."""
    file = tmp_path / "rung.toml"
    file.write_text(CLIENT, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {})
    assert str(caught.value).splitlines() == [
        f"{file}: kafka.client.sasl.password: the variable KAFKA_PASSWORD is not set",
        f"{file}: kafka.client.ssl.key.password: {tmp_path / 'key'}: No such file or directory",
    ]


def test_a_table_is_no_variable(tmp_path: Path) -> None:
    """The table of properties comes from the file alone."""
    with pytest.raises(SettingsError, match="RUNG_KAFKA_CLIENT: unknown variable"):
        load(tmp_path, {"RUNG_KAFKA_CLIENT": "{}"})


def test_the_template_changes_nothing(tmp_path: Path) -> None:
    """The commented file is valid, shows every setting with its default, and changes none."""
    text = template()
    assert tomllib.loads(text) == {
        "log": {},
        "kafka": {"client": {}},
        "store": {},
        "dynamodb": {},
        "worker": {},
        "lake": {"options": {}},
        "batch": {},
        "api": {"tokens": {}},
        "console": {},
        "webhooks": {"secrets": {}},
    }
    (tmp_path / "rung.toml").write_text(text, encoding="utf-8")
    assert load(tmp_path, {}) == Settings()
    shown = "\n".join(
        line.removeprefix("# ") if re.match(r"# \w+ = ", line) else "" if line.startswith("#") else line
        for line in text.splitlines()[2:]
    )
    assert tomllib.loads(shown) == as_mapping(Settings())


def test_lists_and_headings_with_a_dot(tmp_path: Path) -> None:
    """A heading may stand within another one; a variable has a list with commas, and goes before the file."""
    (tmp_path / "rung.toml").write_text(
        '[api]\nport = 1\nallowed_hosts = ["one"]\n[api.tokens]\nissuer = "i"\naudience = "a"\njwks = "j"\n',
        encoding="utf-8",
    )
    found = load(tmp_path, {})
    assert (found.api.port, found.api.allowed_hosts) == (1, ("one",))
    assert (found.api_tokens.issuer, found.api_tokens.algorithms) == ("i", ("RS256", "ES256", "EdDSA"))
    variables = {"RUNG_API_ALLOWED_HOSTS": "two, three,", "RUNG_API_TOKENS_ALGORITHMS": "ES256"}
    found = load(tmp_path, variables)
    assert (found.api.allowed_hosts, found.api_tokens.algorithms) == (("two", "three"), ("ES256",))
