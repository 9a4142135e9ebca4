"""Who is let in to the API of a home, and where it may listen."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from rung.access.keys import KeysDamaged
from rung.access.tokens import KeySetUnusable, TokenRules, read_key_set
from rung.adapters import Home, clock, keys_path
from rung.settings import FILE_NAME, SettingsError
from rung.status.gate import Gate, GateLimits
from rung.status.hosts import Hosts, is_loopback_address
from rung.status.key_file import KeyFile
from rung.status.key_sets import KeySets, key_set_reader
from rung.status.user_tokens import UserTokens

_LOCALHOST: Final = "localhost"


def gate_of(home: Home) -> Gate:
    """Return the gate of a home's API.

    Raises:
        SettingsError: the file of keys, or that of the issuer's, cannot be used.
    """
    chosen = home.settings.api
    return Gate(
        _key_file(home).keys,
        _user_tokens(home),
        clock,
        GateLimits(
            user_requests_per_second=chosen.user_requests_per_second,
            user_burst=chosen.user_burst,
            key_requests_per_second=chosen.key_requests_per_second,
            key_burst=chosen.key_burst,
            failures_per_minute=chosen.failures_per_minute,
            concurrent_requests_max=chosen.concurrent_requests_max,
        ),
        Hosts(chosen.allowed_hosts),
        chosen.client_header,
    )


def check_listening(home: Home, host: str) -> str:
    """Return the address to listen on for a host that is asked for: beyond loopback only with good reason.

    Raises:
        SettingsError: the host is no address, or nobody could use it in safety.
    """
    address = "127.0.0.1" if host == _LOCALHOST else host
    if is_loopback_address(address):
        return address
    place = f"refused to listen on {host!r}"
    if not _is_address(address):
        raise SettingsError(f"{place}: name an address, such as 127.0.0.1 or 0.0.0.0.")
    if not home.settings.api_tokens.issuer and not _key_file(home).keys().has_live(clock()):
        raise SettingsError(
            f"{place}: there is nobody to let in. Make a key with `rung keys create`, or set "
            f"[api.tokens] in {home.path / FILE_NAME}."
        )
    if not home.settings.api.allowed_hosts:
        raise SettingsError(
            f"{place}: set allowed_hosts in [api] of {home.path / FILE_NAME} to the names that clients call "
            'this server by, such as ["status.example.com"].'
        )
    return address


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _key_file(home: Home) -> KeyFile:
    try:
        return KeyFile(keys_path(home))
    except KeysDamaged as error:
        raise SettingsError(str(error)) from error


def _user_tokens(home: Home) -> UserTokens | None:
    chosen = home.settings.api_tokens
    if not chosen.issuer:
        return None
    algorithms = frozenset[str](chosen.algorithms)
    rules = TokenRules(chosen.issuer, chosen.audience, algorithms, chosen.user_claim, chosen.leeway_seconds)
    try:
        read = key_set_reader(chosen.jwks, home.path)
        if "://" not in chosen.jwks:
            # A file that is wrong is known now; an issuer that is away may be back soon.
            read_key_set(read(), algorithms)
    except KeySetUnusable as error:
        raise SettingsError(f"{home.path / FILE_NAME}: api.tokens.jwks: {error}") from error
    return UserTokens(rules, KeySets(read, algorithms, chosen.refresh_seconds))
