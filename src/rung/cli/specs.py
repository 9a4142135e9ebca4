"""Campaign files on the command line: read, and their errors told by their places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rung.cli.errors import CommandError, Place

if TYPE_CHECKING:
    from rung.campaign.model import Campaign


def load_specs(specs: Sequence[Path]) -> list[Campaign]:
    """Return the campaigns of files.

    Raises:
        CommandError: a file cannot be read; or with every error of every file.
    """
    from rung.campaign.spec import InvalidSpec, load
    from rung.cli.output import count_of

    campaigns: list[Campaign] = []
    places: list[Place] = []
    for spec in specs:
        try:
            campaigns.append(load(spec.read_text(encoding="utf-8"), str(spec)))
        except InvalidSpec as invalid:
            places += (
                Place(one.file, one.line, one.column, one.message, one.suggestion) for one in invalid.errors
            )
        except UnicodeDecodeError as error:
            raise CommandError(f"{spec}: not a text file in UTF-8 (byte {error.start})") from error
        except OSError as error:
            raise CommandError(f"{spec}: cannot be read: {error.strerror}") from error
    if places:
        message = f"{count_of(len(places), 'error')} in the campaign files; nothing was applied"
        raise CommandError(message, places=places)
    return campaigns
