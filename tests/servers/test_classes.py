"""A server's classes are written down once, and whatever stands in their place, it starts."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from servers.classes import archive, with_archive, write_archive
from servers.errors import ServerError
from servers.java import find_java
from servers.process import ServerProcess

SERVER = """
    import signal, sys, time
    from pathlib import Path
    written, started = Path(sys.argv[1].partition("=")[2]), Path(sys.argv[2])

    def end(*_):
        if len(sys.argv) == 3:
            written.write_text("classes")
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    started.touch()
    time.sleep(60)
"""


def server(folder: Path, option: str, *others: str) -> ServerProcess:
    """Return a server that writes its classes at its end, unless it is told anything else."""
    started = folder / "started"
    command = [sys.executable, "-c", textwrap.dedent(SERVER), option, str(started), *others]
    return ServerProcess("a server", command, folder, started.exists)


def test_written_once(tmp_path: Path) -> None:
    """The first run writes the archive, and leaves nothing else; no other run is needed."""
    java, path = find_java(), archive(find_java(), "a.jar", tmp_path)
    assert with_archive(java, "a.jar", tmp_path) == ("-cp", "a.jar")
    assert write_archive(path, server)
    assert path.read_text(encoding="utf-8") == "classes"
    assert list(tmp_path.iterdir()) == [path]
    assert not write_archive(path, server)
    assert with_archive(java, "a.jar", tmp_path) == (f"-XX:SharedArchiveFile={path}", "-cp", "a.jar")
    assert with_archive(java, "a.jar:b.jar", tmp_path) == ("-cp", "a.jar:b.jar")


def test_nothing_written(tmp_path: Path) -> None:
    """Without an archive everything goes on as before; a server that does not start is an error."""
    path = tmp_path / "classes.jsa"
    assert not write_archive(path, lambda folder, option: server(folder, option, "writes nothing"))
    with pytest.raises(ServerError):
        write_archive(path, lambda folder, _: ServerProcess("none", ["false"], folder, lambda: False))
    assert list(tmp_path.iterdir()) == []


def test_damaged(tmp_path: Path) -> None:
    """Java passes over an archive that is none."""
    path = archive(find_java(), "a.jar", tmp_path)
    path.write_bytes(b"no classes" * 1_000)
    options = with_archive(find_java(), "a.jar", tmp_path)
    assert options[0] == f"-XX:SharedArchiveFile={path}"
    ended = subprocess.run(
        [find_java(), "-Xshare:auto", *options, "-version"], capture_output=True, check=False
    )
    assert ended.returncode == 0
