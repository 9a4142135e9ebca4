"""Finds a Chromium for the tests of pages; `python -m servers.browser` installs one where it may.

Chromium comes from the system, which keeps it up to date; Playwright only drives it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from servers.errors import ServerError

VARIABLE: Final = "CHROMIUM"
"""Not RUNG_CHROMIUM: such variables are settings, and rung refuses those that it does not know."""
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PACKAGES: Final = ("chromium", "fonts-noto-cjk")
"""What Debian has: the browser, and letters for Japanese."""
_APT_GET: Final = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "--quiet", "--yes")
_ROOT: Final = 0


def find_chromium(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the browser that CHROMIUM names, else the first one on the PATH.

    Raises:
        ServerError: there is none; the text names what to install.
    """
    named = environment.get(VARIABLE)
    if named:
        program = shutil.which(named, path=environment.get("PATH"))
        if program is None:
            raise ServerError(f"{VARIABLE}={named}: no program is there; name a Chromium, or unset it")
        return Path(program)
    for name in NAMES:
        program = shutil.which(name, path=environment.get("PATH"))
        if program is not None:
            return Path(program)
    raise ServerError(
        f"the tests of pages need Chromium, and none of {', '.join(NAMES)} is on the PATH. "
        f"On Debian: apt-get install {' '.join(PACKAGES)}. One elsewhere is named by {VARIABLE}."
    )


def provide() -> Path:
    """Return a browser; install the system's package if there is none, and this user may.

    Raises:
        ServerError: there is none, and none can be installed; the text names what to install.
    """
    try:
        return find_chromium()
    except ServerError:
        if os.environ.get(VARIABLE) or os.geteuid() != _ROOT or shutil.which(_APT_GET[0]) is None:
            raise
    for command in (("update",), ("install", "--no-install-recommends", *PACKAGES)):
        ended = subprocess.run(
            [*_APT_GET, *command],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise ServerError(
                f"apt-get {' '.join(command)} failed ({ended.returncode}): {ended.stdout[-2_000:].strip()}"
            )
    return find_chromium()


def main() -> int:
    """Say which browser the tests take, and return an exit code: 5 if there is none."""
    try:
        sys.stdout.write(f"Chromium: {provide()}\n")
    except ServerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
