"""Every route of the console, with the permission that it asks for."""

from __future__ import annotations

from typing import Final

from rung.console.application import ConsoleRoute
from rung.console.roles import Permission
from rung.console.views import (
    audit,
    batch,
    campaigns,
    changes,
    jobs,
    overview,
    proposing,
    quarantine,
    replaying,
    signing,
    simulate,
    users,
)

_NOTHING, _VIEW = Permission.NOTHING, Permission.VIEW
_OPERATE, _APPROVE = Permission.OPERATE, Permission.APPROVE

ROUTES: Final = (
    ConsoleRoute("GET", "/sign-in", _NOTHING, signing.sign_in_form),
    ConsoleRoute("POST", "/sign-in", _NOTHING, signing.sign_in),
    ConsoleRoute("POST", "/sign-out", _VIEW, signing.sign_out),
    ConsoleRoute("GET", "/static/{name}", _NOTHING, signing.static, passive=True),
    ConsoleRoute("GET", "/", _VIEW, overview.show),
    ConsoleRoute("GET", "/live", _VIEW, overview.live, passive=True),
    ConsoleRoute("GET", "/series", _VIEW, overview.series, passive=True),
    ConsoleRoute("GET", "/lag", _VIEW, overview.lag),
    ConsoleRoute("GET", "/campaigns", _VIEW, campaigns.list_campaigns),
    ConsoleRoute("GET", "/campaigns/{campaign}", _VIEW, campaigns.show),
    ConsoleRoute("POST", "/campaigns/{campaign}/count", _OPERATE, campaigns.count_users),
    ConsoleRoute("GET", "/campaigns/{campaign}/roll-back", _APPROVE, campaigns.roll_back_form),
    ConsoleRoute("POST", "/campaigns/{campaign}/roll-back", _APPROVE, campaigns.roll_back),
    ConsoleRoute("GET", "/changes", _VIEW, changes.list_changes),
    ConsoleRoute("GET", "/changes/new", _OPERATE, proposing.new_form),
    ConsoleRoute("POST", "/changes", _OPERATE, proposing.propose),
    ConsoleRoute("GET", "/changes/{change}", _VIEW, changes.show),
    ConsoleRoute("GET", "/changes/{change}/edit", _OPERATE, proposing.edit_form),
    ConsoleRoute("POST", "/changes/{change}/edit", _OPERATE, proposing.edit),
    ConsoleRoute("POST", "/changes/{change}/apply", _OPERATE, changes.apply),
    ConsoleRoute("POST", "/changes/{change}/run/{stage}", _OPERATE, changes.run),
    ConsoleRoute("POST", "/changes/{change}/approve", _APPROVE, changes.approve),
    ConsoleRoute("POST", "/changes/{change}/activate", _APPROVE, changes.activate),
    ConsoleRoute("POST", "/changes/{change}/withdraw", _OPERATE, changes.withdraw),
    ConsoleRoute("GET", "/simulate", _OPERATE, simulate.form),
    ConsoleRoute("POST", "/simulate", _OPERATE, simulate.start),
    ConsoleRoute("GET", "/users", _VIEW, users.show),
    ConsoleRoute("POST", "/users/replay/plan", _OPERATE, replaying.plan),
    ConsoleRoute("POST", "/users/replay", _OPERATE, replaying.replay),
    ConsoleRoute("GET", "/quarantine", _VIEW, quarantine.list_events),
    ConsoleRoute("POST", "/quarantine/retry", _OPERATE, quarantine.retry_events),
    ConsoleRoute("GET", "/quarantine/{position}", _VIEW, quarantine.show),
    ConsoleRoute("POST", "/quarantine/{position}/correct", _OPERATE, quarantine.correct_event),
    ConsoleRoute("GET", "/batch", _VIEW, batch.show),
    ConsoleRoute("POST", "/batch/verify", _OPERATE, batch.verify),
    ConsoleRoute("GET", "/batch/reports/{report}", _VIEW, batch.report),
    ConsoleRoute("POST", "/batch/reports/{report}/plan", _OPERATE, batch.plan_repair),
    ConsoleRoute("POST", "/batch/reports/{report}/repair", _OPERATE, batch.repair),
    ConsoleRoute("GET", "/jobs/{job}", _VIEW, jobs.show),
    ConsoleRoute("GET", "/jobs/{job}/progress", _VIEW, jobs.progress, passive=True),
    ConsoleRoute("POST", "/jobs/{job}/stop", _OPERATE, jobs.stop),
    ConsoleRoute("POST", "/requests", _OPERATE, batch.ask),
    ConsoleRoute("GET", "/requests/{request}", _VIEW, batch.request),
    ConsoleRoute("POST", "/requests/{request}/settle", _APPROVE, batch.settle),
    ConsoleRoute("POST", "/requests/{request}/withdraw", _OPERATE, batch.withdraw),
    ConsoleRoute("GET", "/audit", _VIEW, audit.list_entries),
    ConsoleRoute("GET", "/audit.csv", _VIEW, audit.export_csv),
    ConsoleRoute("GET", "/audit.json", _VIEW, audit.export_json),
)
"""The order matters where two paths fit: the first one answers."""
