"""Where a port is listened on, as the kernel has it."""

from __future__ import annotations

from pathlib import Path

_LISTENING = "0A"
_LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def only_on_loopback(port: int) -> bool:
    """Return whether a port is listened on, and from nowhere but this machine."""
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
    ]
    found = {
        fields[1].partition(":")[0]
        for fields in lines
        if fields[3] == _LISTENING and int(fields[1].partition(":")[2], 16) == port
    }
    return bool(found) and found <= _LOOPBACK
