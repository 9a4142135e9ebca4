"""`rung erase`: remove a user's identity, and keep all totals."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.author import ByOption, ReasonOption, author_of
from rung.cli.errors import CommandError, ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rung.bootstrap import Home


def erase(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="The user's id.")],
    reason: ReasonOption,
    home: HomeOption = DEFAULT_HOME,
    yes: YesOption = False,
    by: ByOption = None,
    log_expires_itself: Annotated[
        bool,
        typer.Option("--log-expires-itself", help="With Kafka: the topic will not keep the user's events."),
    ] = False,
    as_json: JsonOption = False,
) -> ExitCode:
    """Give a user a random name everywhere, and keep nothing that tells which; totals stay as they are.

    Attributes are dropped. It may run beside workers, and be cut short and run again. It exits with 1 if a
    file of the home may still hold the id.
    """
    from rung import bootstrap
    from rung.batch.retention.erase import check_erasable
    from rung.batch.retention.erase import erase as erase_user
    from rung.cli.output import LiveLine, count_of, print_json, say
    from rung.cli.webhooks import forget_user
    from rung.console.jobs import forget_jobs_of

    author = author_of(by, reason)
    if user_id in author.reason:
        raise CommandError("--reason names the user, and the audit list keeps it: say it otherwise")
    opened = bootstrap.open_home(home)
    line = LiveLine()
    with bootstrap.opened_workshop(opened, "erase") as workshop, bootstrap.opened_mirror(opened) as mirror:
        check_erasable(workshop, user_id, log_expires_itself=log_expires_itself)
        if not yes:
            typer.confirm(f"Remove the identity of user {user_id!r} for good?", abort=True, err=True)
        done = erase_user(workshop, user_id, author.who, author.reason, line.show, mirror.forget)
        forget_jobs_of(opened.console_folder, user_id)
    forget_user(opened, user_id)
    line.show("overwriting what the files still hold")
    _overwrite_freed(opened, thoroughly=False)
    if any(_files_with(opened, user_id)):
        _overwrite_freed(opened, thoroughly=True)
    left = [str(path) for path in _files_with(opened, user_id)]
    line.close("")
    if as_json:
        print_json(
            {
                "events": done.events,
                "files": done.files,
                "transactions": done.transactions,
                "quarantined": done.quarantined,
                "settled": done.settled,
                "reports": done.reports,
                "left": left,
            }
        )
    else:
        say(
            f"Erased: {count_of(done.events, 'event')} in {count_of(done.files, 'file')} of the lake, "
            f"{count_of(done.transactions, 'transaction')}, {count_of(done.settled, 'settled file')}"
        )
        for path in left:
            say(
                f"error: {path} still has these bytes: if they are not part of another id, such as a "
                "transaction's, run it again when nothing else has the home open"
            )
    return ExitCode.PROBLEMS if left else ExitCode.OK


def _overwrite_freed(home: Home, *, thoroughly: bool) -> None:
    """Overwrite what embedded files still hold; they are opened anew, because memory holds it, too."""
    from rung import bootstrap
    from rung.batch.retention.erasing import Overwritten

    with bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:
        for one in (log, store):
            if isinstance(one, Overwritten):
                one.overwrite_freed(thoroughly=thoroughly)


def _files_with(home: Home, user_id: str) -> Iterator[object]:
    """Yield the files of a home that have the id's bytes. Of compressed files it tells nothing."""
    needle = user_id.encode()
    for path in sorted(home.path.rglob("*")):
        if not path.is_file() or not path.stat().st_size:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(needle) >= 0:
                yield path
