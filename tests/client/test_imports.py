"""What importing the client brings with it: nothing of the server."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    *("aiodynamo", "aiohttp", "confluent_kafka", "cryptography", "deltalake", "duckdb", "granian", "jwt"),
    *("lmdb", "numpy", "prometheus_client", "pyarrow", "rich", "sqlglot", "starlette", "typer", "yaml"),
    *("rung.batch", "rung.lake", "rung.log", "rung.plan", "rung.settings", "rung.speed", "rung.store"),
)


def test_importing_the_client_is_light() -> None:
    """No engine, store or framework is loaded by the client, and both faces are there."""
    script = (
        "import sys; from rung.client import AsyncClient, Client; Client('https://rung.example', 'key');"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
