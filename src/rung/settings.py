"""Typed settings: from HOME/rung.toml, overridden by RUNG_SECTION_KEY variables.

Each setting is declared once, with its type, limits, default and meaning; reading, checking and
the commented file that `rung init` writes all come from that declaration.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from rung.properties import Property, read_properties

FILE_NAME: Final = "rung.toml"
HOME_VARIABLE: Final = "RUNG_HOME"
_PREFIX: Final = "RUNG_"
_MEBIBYTE: Final = 1 << 20
_TEBIBYTE: Final = 1 << 40


class SettingsError(Exception):
    """A setting is unknown, of another type or out of its limits; the text names the place."""


class LogSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The event log. Partitions and map_bytes are of the embedded one."""

    kind: Annotated[
        Literal["embedded", "kafka"],
        Meta(description='"embedded": in this home; "kafka": a topic, see [kafka].'),
    ] = "embedded"
    partitions: Annotated[
        int, Meta(ge=1, le=1_024, description="Partitions; fixed once the log has been made.")
    ] = 4
    map_bytes: Annotated[
        int, Meta(ge=_MEBIBYTE, description="The most that the log's file can grow to, in bytes.")
    ] = _TEBIBYTE


class KafkaSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The log on Kafka, for log.kind = "kafka"."""

    bootstrap_servers: Annotated[
        str, Meta(description="Brokers to begin with: host:port, several with commas between.")
    ] = ""
    topic: Annotated[str, Meta(description="The topic of events.")] = "rung-events"
    group_id: Annotated[str, Meta(description="The group that the workers share the partitions in.")] = "rung"
    quarantine_topic: Annotated[
        str, Meta(description="A topic with a copy of the quarantine; empty for none.")
    ] = "rung-quarantine"
    group_protocol: Annotated[
        Literal["classic", "consumer"],
        Meta(description='How the group shares: "classic", or "consumer" (KIP-848, Kafka 4).'),
    ] = "classic"
    session_timeout_seconds: Annotated[
        float, Meta(ge=1, le=300, description="How long a silent worker keeps its partitions; classic only.")
    ] = 45.0
    delivery_timeout_seconds: Annotated[
        float, Meta(ge=1, le=300, description="How long an append may take before it has failed.")
    ] = 30.0
    client: Annotated[
        Mapping[str, Property],
        Meta(
            description="""
Properties of librdkafka, passed on as they are: TLS, SASL and more. A secret stays out of this file:
  security.protocol = "SASL_SSL"
  sasl.password = {env = "KAFKA_PASSWORD"}
  ssl.key.password = {file = "/run/secrets/kafka"}"""
        ),
    ] = msgspec.field(default_factory=dict[str, Property])


class StoreSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The store. Map_bytes is of the embedded one, "lmdb"."""

    kind: Annotated[
        Literal["lmdb", "dynamodb"],
        Meta(description='"lmdb": in this home; "dynamodb": tables, see [dynamodb].'),
    ] = "lmdb"
    map_bytes: Annotated[
        int, Meta(ge=_MEBIBYTE, description="The most that the store's file can grow to, in bytes.")
    ] = _TEBIBYTE


class DynamodbSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The store on DynamoDB, for store.kind = "dynamodb". Credentials are those of any AWS program."""

    region: Annotated[str, Meta(description="The AWS region of the tables, such as eu-central-1.")] = ""
    endpoint_url: Annotated[
        str, Meta(description="Another endpoint, such as an emulator's; empty for the region's own.")
    ] = ""
    table_prefix: Annotated[
        str,
        Meta(pattern=r"^[a-zA-Z0-9_.-]{1,200}$", description="What the names of the tables begin with."),
    ] = "rung"
    request_timeout_seconds: Annotated[
        float, Meta(gt=0, le=60, description="How long one attempt of a call may take.")
    ] = 5.0
    attempts_max: Annotated[
        int, Meta(ge=1, le=100, description="How often a call is tried before the store counts as busy.")
    ] = 6
    concurrent_calls: Annotated[
        int,
        Meta(
            ge=1, le=1_000, description="Calls under way at once in each process; as many again for statuses."
        ),
    ] = 8


class WorkerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The speed layer's worker."""

    batch_events_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="The most events in one micro-batch.")
    ] = 200_000
    batch_bytes_max: Annotated[
        int, Meta(ge=65_536, description="About the most bytes of events in one micro-batch.")
    ] = 64 * _MEBIBYTE
    idle_wait_seconds: Annotated[
        float, Meta(gt=0, le=60, description="How long an idle worker waits at a time.")
    ] = 0.2
    lag_events_max: Annotated[
        int, Meta(ge=1, description="With more events than this waiting, the API refuses more (503).")
    ] = 5_000_000


class LakeSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The lake: the archive of every event, as a Delta table."""

    uri: Annotated[
        str,
        Meta(description="A folder, or a URI such as s3://bucket/rung; empty for a folder in this home."),
    ] = ""
    archive_events_max: Annotated[
        int, Meta(ge=1_000, le=5_000_000, description="The most events that are archived at once.")
    ] = 200_000
    archive_wait_seconds: Annotated[
        float, Meta(gt=0, le=3_600, description="How long an event waits for others to be archived with.")
    ] = 10.0
    options: Annotated[
        Mapping[str, Property],
        Meta(
            description="""
How to reach an object store, as the delta-rs library names it. A secret stays out of this file:
  AWS_REGION = "eu-central-1"
  AWS_SECRET_ACCESS_KEY = {env = "AWS_SECRET_ACCESS_KEY"}"""
        ),
    ] = msgspec.field(default_factory=dict[str, Property])


class BatchSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The batch layer, on one machine."""

    folder: Annotated[
        str, Meta(description="Where snapshots, reports and results are; empty for a folder in this home.")
    ] = ""
    memory_mib: Annotated[
        int,
        Meta(ge=256, description="The engine's memory, in MiB; what needs more is spilt."),
    ] = 4_096
    threads: Annotated[int, Meta(ge=1, le=1_024, description="The engine's threads.")] = 2
    spark_master: Annotated[
        str,
        Meta(
            pattern=r"^(local|yarn|spark://|k8s://)",
            description="Where --engine spark runs: local[CORES], or a cluster's address.",
        ),
    ] = "local[2]"


class ApiSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The status API and page."""

    host: Annotated[str, Meta(description="The address to listen on; only loopback is allowed.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65_535, description="The port; 0 takes a free one.")] = 8080
    workers: Annotated[int, Meta(ge=1, le=64, description="Processes that answer requests.")] = 1


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one home."""

    log: LogSection = LogSection()
    kafka: KafkaSection = KafkaSection()
    store: StoreSection = StoreSection()
    dynamodb: DynamodbSection = DynamodbSection()
    worker: WorkerSection = WorkerSection()
    lake: LakeSection = LakeSection()
    batch: BatchSection = BatchSection()
    api: ApiSection = ApiSection()


_SECTIONS: Final[Mapping[str, type[Struct]]] = {
    "log": LogSection,
    "kafka": KafkaSection,
    "store": StoreSection,
    "dynamodb": DynamodbSection,
    "worker": WorkerSection,
    "lake": LakeSection,
    "batch": BatchSection,
    "api": ApiSection,
}


def load(home: Path, environment: Mapping[str, str]) -> Settings:
    """Return the settings of a home: its file, then the RUNG_SECTION_KEY variables over it.

    Args:
        home: The data directory; a missing rung.toml means the defaults.
        environment: The variables, usually `os.environ`.

    Raises:
        SettingsError: with every wrong setting, one per line.
    """
    errors: list[str] = []
    chosen: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    found = (*_from_file(home, errors), *_from_variables(environment, errors))
    for place, section, key, value, strict in found:
        hint = _annotations(section)[key]
        try:
            if _is_table(hint):
                table = msgspec.convert(value, type=dict[str, object])
                chosen[section][key] = read_properties(table, place, home, environment, errors)
            else:
                chosen[section][key] = msgspec.convert(value, type=hint, strict=strict)
        except msgspec.ValidationError as error:
            errors.append(f"{place}: {_expected(hint, value) or error}")
    if errors:
        raise SettingsError("\n".join(errors))
    sections: dict[str, Any] = {section: struct(**chosen[section]) for section, struct in _SECTIONS.items()}
    settings = Settings(**sections)
    if missing := tuple(_missing(home, settings)):
        raise SettingsError("\n".join(missing))
    return settings


def template() -> str:
    """Return a rung.toml that explains every setting and changes none."""
    lines = [
        "# Settings of this Rung home. A line that starts with # shows the default.",
        "# A variable overrides a line: RUNG_API_PORT=9000 sets port in [api].",
    ]
    for section, struct in _SECTIONS.items():
        tables: list[str] = []
        lines += ["", f"# {_summary(struct)}", f"[{section}]"]
        for key, (description, default) in _described(struct).items():
            explained = [f"# {line}" for line in description.strip().splitlines()]
            if isinstance(default, dict):
                tables += ["", *explained, f"[{section}.{key}]"]
            else:
                lines += [*explained, f"# {key} = {_toml(default)}"]
        lines += tables
    return "\n".join(lines) + "\n"


def as_mapping(settings: Settings) -> dict[str, dict[str, object]]:
    """Return section -> key -> value, for printing: secrets are `***`."""
    return cast("dict[str, dict[str, object]]", msgspec.to_builtins(settings, enc_hook=str))


_Found = tuple[str, str, str, object, bool]


def _from_file(home: Path, errors: list[str]) -> Iterator[_Found]:
    file = home / FILE_NAME
    if not file.exists():
        return
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        errors.append(f"{file}: not TOML: {error}")
        return
    for section, keys in document.items():
        if section not in _SECTIONS:
            errors.append(f"{file}: [{section}]: unknown section{_meant(section, _SECTIONS, '[', ']')}")
        elif not isinstance(keys, dict):
            errors.append(f"{file}: {section}: a section is written [{section}], with its keys below")
        else:
            known = _annotations(section)
            for key, value in cast("dict[str, object]", keys).items():
                if key in known:
                    yield f"{file}: {section}.{key}", section, key, value, True
                else:
                    meant = _meant(f"{section}.{key}", [f"{section}.{name}" for name in known])
                    errors.append(f"{file}: {section}.{key}: unknown setting{meant}")


def _from_variables(environment: Mapping[str, str], errors: list[str]) -> Iterator[_Found]:
    known = {
        f"{_PREFIX}{section}_{key}".upper(): (section, key)
        for section in _SECTIONS
        for key, hint in _annotations(section).items()
        if not _is_table(hint)
    }
    for name, value in sorted(environment.items()):
        if name.startswith(_PREFIX) and name != HOME_VARIABLE:
            if name in known:
                yield (name, *known[name], value, False)
            else:
                errors.append(f"{name}: unknown variable{_meant(name, [*known, HOME_VARIABLE])}")


def _missing(home: Path, settings: Settings) -> Iterator[str]:
    """Yield what a choice of log and store needs besides, with the fix."""
    file = home / FILE_NAME
    if settings.log.kind == "kafka" and not settings.kafka.bootstrap_servers.strip():
        yield (
            f"{file}: kafka.bootstrap_servers: empty, and log.kind is kafka: name the brokers, such as "
            'bootstrap_servers = "localhost:9092" in [kafka], or set RUNG_KAFKA_BOOTSTRAP_SERVERS'
        )
    if settings.store.kind == "dynamodb" and not settings.dynamodb.region.strip():
        yield (
            f"{file}: dynamodb.region: empty, and store.kind is dynamodb: name the region, such as "
            'region = "eu-central-1" in [dynamodb], or set RUNG_DYNAMODB_REGION'
        )


def _expected(hint: Any, value: object) -> str | None:
    """Return what a setting with a few words as values expects, None for any other."""
    words = get_args(get_args(hint)[0]) if get_origin(get_args(hint)[0]) is Literal else ()
    return f"expected {' or '.join(words)}, got {value!r}" if words else None


def _is_table(hint: Any) -> bool:
    return get_origin(get_args(hint)[0]) is Mapping


def _meant(name: str, known: Mapping[str, object] | list[str], before: str = "", after: str = "") -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {before}{close[0]}{after}?" if close else f" (known: {', '.join(known)})"


def _annotations(section: str) -> dict[str, Any]:
    return get_type_hints(_SECTIONS[section], include_extras=True)


def _described(struct: type[Struct]) -> dict[str, tuple[str, object]]:
    hints = get_type_hints(struct, include_extras=True)
    described: dict[str, tuple[str, object]] = {}
    for setting in msgspec.structs.fields(struct):
        metas = [meta for meta in get_args(hints[setting.name]) if isinstance(meta, Meta)]
        default = setting.default if setting.default is not msgspec.NODEFAULT else dict[str, Property]()
        described[setting.name] = (metas[0].description or "", default)
    return described


def _summary(struct: type[Struct]) -> str:
    return (struct.__doc__ or "").strip()


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()


def home_from(environment: Mapping[str, str]) -> Path:
    """Return the home that RUNG_HOME names, else ./.rung."""
    return Path(environment.get(HOME_VARIABLE) or ".rung")
