"""The audit list: who changed what, when and why, and whether it is as it was written."""

from __future__ import annotations

import csv
import io
from typing import Final

import msgspec
from starlette.responses import Response

from rung.console.console import Asked, Console
from rung.operations.audited import AuditList, read_audit
from rung.status.evaluate import time_text
from rung.store.audit import AuditEntry

SHOWN_MAX: Final = 50
_COLUMNS: Final = ("number", "at", "who", "action", "subject", "reason", "before", "after", "hash")


def list_entries(console: Console, asked: Asked) -> Response:
    """List the entries that fit, the newest first."""
    found = read_audit(console.services.store)
    chosen = _chosen(asked, found)
    text = asked.query.text("below")
    below = int(text) if text.isascii() and text.isdecimal() else None
    page = [one for one in reversed(chosen) if below is None or one.number < below]
    return console.page(
        asked,
        "audit.html",
        entries=page[:SHOWN_MAX],
        following=page[SHOWN_MAX - 1].number if len(page) > SHOWN_MAX else None,
        count=len(found.entries),
        fitting=len(chosen),
        broken=found.broken,
        people=sorted({one.who for one in found.entries}),
        actions=sorted({one.action for one in found.entries}),
        chosen={name: asked.query.text(name) for name in ("who", "action", "q")},
    )


def export_csv(console: Console, asked: Asked) -> Response:
    """Give the entries that fit as CSV: times are RFC 3339 in UTC, what was changed is JSON."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(_COLUMNS)
    for one in _chosen(asked, read_audit(console.services.store)):
        row = {**msgspec.structs.asdict(one), "at": time_text(one.at)}
        row["before"], row["after"] = _json(one.before), _json(one.after)
        writer.writerow([_plain(str(row[name])) for name in _COLUMNS])
    return _file(written.getvalue().encode(), "text/csv; charset=utf-8", "audit.csv")


def export_json(console: Console, asked: Asked) -> Response:
    """Give the entries that fit as JSON, with what the check of the whole list found."""
    found = read_audit(console.services.store)
    entries = [{**msgspec.structs.asdict(one), "at": time_text(one.at)} for one in _chosen(asked, found)]
    content = msgspec.json.encode({"ok": found.broken is None, "broken": found.broken, "entries": entries})
    return _file(msgspec.json.format(content, indent=1), "application/json", "audit.json")


def _chosen(asked: Asked, found: AuditList) -> list[AuditEntry]:
    who, action, text = (asked.query.text(name) for name in ("who", "action", "q"))
    return [
        one
        for one in found.entries
        if (not who or one.who == who)
        and (not action or one.action == action)
        and (not text or text.casefold() in f"{one.subject} {one.reason}".casefold())
    ]


def _plain(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _json(value: dict[str, object] | None) -> str:
    return "" if value is None else msgspec.json.encode(value, order="deterministic").decode()


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=media_type)
