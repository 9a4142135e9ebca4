"""Typed settings: from HOME/rung.toml, overridden by RUNG_SECTION_KEY variables.

Each setting is declared once, in `rung.sections`; reading, checking and the commented file that
`rung init` writes all come from that declaration.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from rung.properties import Property, read_properties
from rung.sections import (
    SECTIONS,
    ApiSection,
    BatchSection,
    DynamodbSection,
    KafkaSection,
    LakeSection,
    LogSection,
    Settings,
    StoreSection,
    TokensSection,
    WorkerSection,
)

__all__ = [
    "FILE_NAME",
    "HOME_VARIABLE",
    "ApiSection",
    "BatchSection",
    "DynamodbSection",
    "KafkaSection",
    "LakeSection",
    "LogSection",
    "Settings",
    "SettingsError",
    "StoreSection",
    "TokensSection",
    "WorkerSection",
    "as_mapping",
    "home_from",
    "load",
    "template",
]

FILE_NAME: Final = "rung.toml"
HOME_VARIABLE: Final = "RUNG_HOME"
_NO_SETTINGS: Final = (HOME_VARIABLE, "RUNG_SERVER", "RUNG_KEY")
"""Variables of the command line: which home, or which server and as whom."""
_PREFIX: Final = "RUNG_"


class SettingsError(Exception):
    """A setting is unknown, of another type or out of its limits; the text names the place."""


def load(home: Path, environment: Mapping[str, str]) -> Settings:
    """Return the settings of a home: its file, then the RUNG_SECTION_KEY variables over it.

    Args:
        home: The data directory; a missing rung.toml means the defaults.
        environment: The variables, usually `os.environ`.

    Raises:
        SettingsError: with every wrong setting, one per line.
    """
    errors: list[str] = []
    chosen: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
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
    sections: dict[str, Any] = {
        section.replace(".", "_"): struct(**chosen[section]) for section, struct in SECTIONS.items()
    }
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
    for section, struct in SECTIONS.items():
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
    """Return section -> key -> value, as in the file, for printing: secrets are `***`."""
    found: dict[str, dict[str, object]] = {}
    for heading in SECTIONS:
        section = getattr(settings, heading.replace(".", "_"))
        values: dict[str, object] = msgspec.json.decode(msgspec.json.encode(section, enc_hook=str))
        parent, _, child = heading.partition(".")
        if child:
            found[parent][child] = values
        else:
            found[parent] = values
    return found


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
    for section, keys in _by_heading(document):
        if section not in SECTIONS:
            errors.append(f"{file}: [{section}]: unknown section{_meant(section, SECTIONS, '[', ']')}")
        elif not isinstance(keys, dict):
            errors.append(f"{file}: {section}: a section is written [{section}], with its keys below")
        else:
            known = _annotations(section)
            for key, value in cast("dict[str, object]", keys).items():
                if key in known:
                    yield f"{file}: {section}.{key}", section, key, value, True
                else:
                    below = [heading for heading in SECTIONS if heading.startswith(f"{section}.")]
                    meant = _meant(f"{section}.{key}", [*(f"{section}.{name}" for name in known), *below])
                    errors.append(f"{file}: {section}.{key}: unknown setting{meant}")


def _by_heading(document: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield each heading with what stands under it; [api.tokens] is a heading of its own."""
    for section, keys in document.items():
        if isinstance(keys, dict):
            under = cast("dict[str, object]", keys)
            for name in [name for name in under if f"{section}.{name}" in SECTIONS]:
                yield f"{section}.{name}", under.pop(name)
        yield section, keys


def _from_variables(environment: Mapping[str, str], errors: list[str]) -> Iterator[_Found]:
    known = {
        f"{_PREFIX}{section}_{key}".upper().replace(".", "_"): (section, key)
        for section in SECTIONS
        for key, hint in _annotations(section).items()
        if not _is_table(hint)
    }
    for name, value in sorted(environment.items()):
        if name.startswith(_PREFIX) and name not in _NO_SETTINGS:
            if name in known:
                is_list = _is_list(_annotations(known[name][0])[known[name][1]])
                listed = [part.strip() for part in value.split(",") if part.strip()]
                yield (name, *known[name], listed if is_list else value, False)
            else:
                errors.append(f"{name}: unknown variable{_meant(name, [*known, *_NO_SETTINGS])}")


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
    tokens = settings.api_tokens
    if tokens.issuer:
        for key in ("audience", "jwks"):
            if not getattr(tokens, key):
                yield (
                    f"{file}: api.tokens.{key}: empty, and api.tokens.issuer is set: "
                    f"set {key} in [api.tokens], or RUNG_API_TOKENS_{key.upper()}"
                )


def _expected(hint: Any, value: object) -> str | None:
    """Return what a setting with a few words as values expects, None for any other."""
    kind = get_args(hint)[0]
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    words = get_args(kind) if get_origin(kind) is Literal else ()
    return f"expected {' or '.join(words)}, got {value!r}" if words else None


def _is_table(hint: Any) -> bool:
    return get_origin(get_args(hint)[0]) is Mapping


def _is_list(hint: Any) -> bool:
    return get_origin(get_args(hint)[0]) is tuple


def _meant(name: str, known: Mapping[str, object] | list[str], before: str = "", after: str = "") -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {before}{close[0]}{after}?" if close else f" (known: {', '.join(known)})"


def _annotations(section: str) -> dict[str, Any]:
    return get_type_hints(SECTIONS[section], include_extras=True)


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
