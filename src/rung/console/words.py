"""Numbers, money and times as the pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from rung.campaign.calendar import load_zone

_MINOR_DIGITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
"""Currencies (ISO 4217) whose minor unit is not a hundredth."""
_SIGNS: Final = {"JPY": "¥", "GBP": "£", "EUR": "€", "USD": "$"}
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


def money_text(minor: int, currency: str, *, signed: bool = False) -> str:
    """Return an amount in minor units for people: "¥50,000", "£1,234.50", "-KWD 1.250"."""
    digits = _MINOR_DIGITS.get(currency, 2)
    value = Decimal(abs(minor)).scaleb(-digits)
    sign = "-" if minor < 0 else "+" if signed and minor > 0 else ""
    return f"{sign}{_SIGNS.get(currency, f'{currency} ')}{value:,.{digits}f}"


def count_text(number: int, noun: str, plural: str = "") -> str:
    """Return "1 event", "1,234 events"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units: "0.4 s", "3 min 20 s", "2 h 5 min", "3 days"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} days"


class Zoned:
    """Times in the one zone of the console, which is printed with each."""

    def __init__(self, zone: str) -> None:
        """Take an IANA name."""
        self.name = zone
        self._zone = load_zone(zone)

    def time(self, at: int) -> str:
        """Return microseconds since the epoch as "2026-11-20 14:32:05 JST"."""
        return f"{self._local(at):%Y-%m-%d %H:%M:%S %Z}"

    def clock(self, at: int) -> str:
        """Return the time of day alone, "14:32:05 JST"."""
        return f"{self._local(at):%H:%M:%S %Z}"

    def day(self, at: int) -> str:
        """Return the day, "2026-11-20"."""
        return f"{self._local(at):%Y-%m-%d}"

    def moment(self, text: str) -> str:
        """Return an RFC 3339 time as `time` does."""
        return f"{datetime.fromisoformat(text).astimezone(self._zone):%Y-%m-%d %H:%M:%S %Z}"

    def _local(self, at: int) -> datetime:
        return datetime.fromtimestamp(at / 1e6, UTC).astimezone(self._zone)
