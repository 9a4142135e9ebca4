"""The events that were not applied: which, why, and once more, as they are or corrected."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from rung.console.console import Asked, Console, see
from rung.console.forms import Mistake, Refused
from rung.console.words import count_text
from rung.operations.errors import OperationRefused
from rung.operations.quarantined import Chosen, correct, event_at, every_event, retry
from rung.store.audit import append_audit
from rung.store.port import Quarantined
from rung.transaction.reasons import Reason

SHOWN_MAX: Final = 50
LOOKED_AT_MAX: Final = 20_000
_PAYLOAD_SHOWN_BYTES: Final = 16 << 10
_SENTENCES: Final = {reason.value: reason.sentence for reason in Reason}


def list_events(console: Console, asked: Asked, mistakes: tuple[Mistake, ...] = ()) -> Response:
    """List the events, those that fit a reason and hold a text."""
    reason, text = asked.query.text("reason"), asked.query.text("q")
    after = asked.query.text("after")
    wanted = text.encode()
    counts: Counter[str] = Counter()
    found: list[Quarantined] = []
    looked_at = 0
    more = False
    passed = not after
    for event in every_event(console.services.store):
        looked_at += 1
        if looked_at > LOOKED_AT_MAX:
            break
        counts[event.reason] += 1
        fits = (not reason or event.reason == reason) and (
            not wanted or wanted in event.payload or text in event.detail or text == position_of(event)
        )
        if not passed:
            passed = position_of(event) == after
            continue
        if fits and len(found) == SHOWN_MAX:
            more = True
        elif fits:
            found.append(event)
    return console.page(
        asked,
        "quarantine.html",
        422 if mistakes else 200,
        mistakes=mistakes,
        events=found,
        counts=counts.most_common(),
        total=counts.total(),
        beyond=looked_at > LOOKED_AT_MAX,
        looked_at_max=LOOKED_AT_MAX,
        reason=reason,
        q=text,
        after=after,
        following=position_of(found[-1]) if more and found else "",
        sentences=_SENTENCES,
        position=position_of,
    )


def show(console: Console, asked: Asked) -> Response:
    """Show one event with what it holds."""
    event = _event(console, asked)
    values = _values(asked, event)
    return console.page(asked, "quarantined.html", typed={"event": values["payload"]}, **values)


def correct_event(console: Console, asked: Asked) -> Response:
    """Append a corrected event in place of one that could not be applied."""
    event = _event(console, asked)
    payload, reason = asked.form.raw("event").strip().encode(), asked.form.text("reason")
    mistakes: list[Mistake] = []
    if not reason:
        mistakes.append(Mistake("reason", "Say why, for those who read the audit list."))
    if payload == event.payload:
        mistakes.append(Mistake("event", "Nothing was changed: to send it as it is, retry it."))
    services = console.services
    if not mistakes:
        try:
            with services.open_mirror() as forget:
                correct(services.store, services.producer, forget, event, payload)
        except OperationRefused as error:
            mistakes.append(Mistake("event", f"{error}."))
    if mistakes:
        return console.form_again(asked, "quarantined.html", mistakes, **_values(asked, event))
    append_audit(
        services.store,
        services.clock,
        asked.who,
        "quarantine.correct",
        position_of(event),
        # What an event holds may be about a person, and what is audited stays.
        {"sha256": sha256(event.payload).hexdigest()},
        {"sha256": sha256(payload).hexdigest()},
        reason,
    )
    asked.say("The corrected event was appended. A worker applies it.")
    return see("/quarantine")


def retry_events(console: Console, asked: Asked) -> Response:
    """Append events once more: those that were marked, or all of one reason."""
    positions, reason = asked.form.every("position"), asked.form.text("reason")
    if not positions and not reason:
        return list_events(console, asked, (Mistake("position", "Mark at least one event."),))
    chosen = Chosen(positions=positions) if positions else Chosen(reason=reason)
    services = console.services
    with services.open_mirror() as forget:
        count = retry(services.store, services.producer, forget, chosen)
    what = {"positions": list(positions[:100])} if positions else {"reason": reason}
    append_audit(
        services.store,
        services.clock,
        asked.who,
        "quarantine.retry",
        reason or "marked events",
        None,
        {**what, "events": count},
        "",
    )
    asked.say(
        f"{count_text(count, 'event')} appended once more. A worker applies them; what is still wrong "
        "comes back under a new position."
    )
    return see("/quarantine")


def _event(console: Console, asked: Asked) -> Quarantined:
    try:
        return event_at(console.services.store, asked.parameters["position"])
    except OperationRefused as error:
        raise Refused(HTTPStatus.NOT_FOUND, "Not in quarantine", f"{error}.") from error


def _values(asked: Asked, event: Quarantined) -> dict[str, Any]:
    return {
        "event": event,
        "position": asked.parameters["position"],
        "sentence": _SENTENCES.get(event.reason, ""),
        "payload": event.payload[:_PAYLOAD_SHOWN_BYTES].decode("utf-8", "backslashreplace"),
        "is_cut": len(event.payload) > _PAYLOAD_SHOWN_BYTES,
    }


def position_of(event: Quarantined) -> str:
    """Return where an event stands, as the command line writes it."""
    return f"{event.partition}:{event.offset}"
