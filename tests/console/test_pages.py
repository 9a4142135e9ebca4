"""The pages on a home with some history: what they show, in which words, and what they say when something is wrong."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from cli.command import SPEC, always, purchase
from console.console_rig import Rig, current, day_of, made_home, purchases, running, send
from rung import bootstrap
from rung.batch.lease import only_job
from rung.console.forms import Mistake
from rung.log.port import LogUnavailable
from rung.store.audit import append_audit
from rung.store.port import StoreBusy


def test_overview(rig: Rig) -> None:
    """The overview says what needs attention, worst first, how far events are, and which periods count."""
    page = rig.person("ann").get("/").text
    assert "2 events are in quarantine" in page
    assert "Nothing was verified yet" in page
    assert "No worker runs: events wait, and figures stand still" in page
    assert "0 events" in page
    assert f"counts {current()} by" in page
    assert page.index("No worker runs") < page.index("Lately")
    assert "Show as table" in page


def test_overview_with_nothing_wrong(tmp_path: Path) -> None:
    """When all is well it says so, and an empty home says what to do first."""
    home = tmp_path / "home"
    bootstrap.initialise(home)
    with running(home) as rig, bootstrap.only_worker(bootstrap.open_home(home)):
        page = rig.person("vera").get("/").text
        assert "rung campaign apply SPEC" in page
        assert "Every event was applied." in page
        assert "No worker runs" not in page
        for path, text in (
            ("/campaigns", "No campaign is in force."),
            ("/changes", "Nobody has proposed anything yet."),
            ("/quarantine", "0 events in quarantine: every event that came was applied."),
            ("/audit", "0 entries; each follows the one before"),
            ("/users?id=ann", "No campaign is in force."),
            ("/batch", "Nothing was verified yet."),
        ):
            assert text in rig.person("vera").get(path).text, path


def test_a_part_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When log or store do not answer, that part says so with the cause; the page is there all the same."""
    with running(made_home(tmp_path)) as rig:
        ann = rig.person("ann")

        def away(*_: object) -> object:
            raise LogUnavailable("no broker answers")

        monkeypatch.setattr(type(rig.console.services.log), "ends", away)
        rig.console.samples.look()
        answer = ann.get("/")
        assert answer.status_code == 200
        assert "Log or store do not answer: no broker answers" in answer.text

        def busy(*_: object) -> object:
            raise StoreBusy("the table is throttled")

        monkeypatch.setattr(type(rig.console.services.store), "quarantine", busy)
        assert "the table is throttled" in ann.get("/").text
        answer = ann.get("/quarantine")
        assert answer.status_code == 503
        assert "A part of the home does not answer" in answer.text
        part = ann.get("/quarantine", **{"hx-request": "true"})
        assert (part.status_code, "<html" in part.text) == (503, False)


def test_a_fault_of_ours(rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A bug shows no text and no trace of it, but a request's id, under which the console's log has it."""

    def broken(*_: object) -> object:
        raise RuntimeError("secret of the machine")

    monkeypatch.setattr(rig.console.reader, "catalog", broken)
    answer = rig.person("ann").get("/campaigns")
    assert answer.status_code == 500
    assert "secret of the machine" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert "secret of the machine" in caplog.text


def test_lag(rig: Rig) -> None:
    """Each partition is told."""
    page = rig.person("vera").get("/lag").text
    assert "0 events to apply" in page
    assert page.count("Goes on") == 4


def test_campaign(rig: Rig) -> None:
    """A campaign is told in words: who counts, the ladder, the versions, and what was done to it."""
    page = rig.person("ann").get("/campaigns/small").text
    assert (
        f"Purchases of {current()} count by version 0; the rate that they earn applies in {current().next()}."
        in page
    )
    assert "<b>three</b>: payments at least 3" in page
    assert "<b>payments</b> is how many purchases have amount &gt;= 500" in page
    assert "total = sum of amount" in page
    assert "campaign.apply small: at first" in page
    assert "They were not counted yet." in page
    assert 'href="/changes/new?campaign=small"' in page
    for person, word in (("vera", "Propose a change"), ("bob", "Roll back")):
        assert word not in rig.person(person).get("/campaigns/small").text


def test_versions_differ_in_marked_lines(own: Rig) -> None:
    """What a version adds and takes away is marked, in words for those who do not see the colour."""
    added = (
        SPEC[SPEC.index("  - version: 0") :]
        .replace("version: 0", "version: 1")
        .replace("payments >= 3", "payments >= 4")
    )
    spec = SPEC + added.replace("    counts_from: 2021-01\n", "")
    home = made_home(own.home.parent / "two", spec)
    with running(home) as rig:
        page = rig.person("ann").get("/campaigns/small").text
    assert '<ins><span class="unseen">Added: </span>+0.5% three: payments &gt;= 4</ins>' in page
    assert '<del><span class="unseen">Taken away: </span>+0.5% three: payments &gt;= 3</del>' in page
    assert "Shadow 1" in page


def test_user(rig: Rig) -> None:
    """A user is shown as the user is, and each transaction with why it counts or does not, in words."""
    page = rig.person("vera").get("/users?id=ann&campaign=small&period=2021-08").text
    assert "In force now" in page
    assert "Counting now" in page
    assert "0 of 3, 3 to go" in page
    assert "The sum of 3 transactions equals the stored figures (version 0)" in page
    assert "but not in payments" in page
    assert "Refunded in full" in page
    assert "+€10.00" in page
    assert "€14.00" in page
    assert "period=2021-07" in page
    assert "period=2021-09" in page


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("", 200, "Give an id as events have it."),
        ("id=nobody", 200, "No transaction of this user has to do with"),
        ("id=ann&campaign=small&period=2021-13", 200, "&#39;2021-13&#39; is not a month"),
        ("id=ann&campaign=small&period=2020-01", 200, "campaign small does not count in 2020-01"),
        (f"id={'a' * 129}", 422, "An id has at most 128 bytes, this one has 129."),
        (f"id={'%C3%A4' * 64}", 200, "No transaction of this user"),
    ],
)
def test_user_asked_wrongly(rig: Rig, query: str, status: int, text: str) -> None:
    """Any id and any period is answered, with what is due where it is none."""
    answer = rig.person("vera").get(f"/users?{query}")
    assert answer.status_code == status
    assert text in answer.text


def test_nothing_that_users_send_becomes_markup(rig: Rig) -> None:
    """Ids, payloads and searches are shown as text, whatever stands in them."""
    ann = rig.person("ann")
    hostile = "%3Cscript%3Ealert(1)%3C/script%3E"
    for path in (
        f"/users?id={hostile}",
        f"/quarantine?q={hostile}",
        f"/quarantine?reason={hostile}",
        f"/audit?q={hostile}",
    ):
        page = ann.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page, path


def test_quarantine(rig: Rig) -> None:
    """Events in quarantine are found by reason and by text, each with why and with its bytes."""
    vera = rig.person("vera")
    page = vera.get("/quarantine").text
    assert "2 events could not be applied." in page
    assert "missing_field <b>1</b>" in page
    assert "An amount is not a whole number" in vera.get("/quarantine?reason=bad_amount").text
    assert "None of them fits." in vera.get("/quarantine?q=nothing-of-it").text
    found = vera.get("/quarantine?q=t4").text
    assert found.count('class="id short"') == 1
    position = found.split('class="id short" href="/quarantine/')[1].split('"')[0]
    event = vera.get(f"/quarantine/{position}").text
    assert "{&#34;transaction_id&#34;: &#34;t4&#34;, &#34;user_id&#34;: &#34;ann&#34;}" in event
    for wrong, text in (
        ("9:9", "no event at 9:9 is in quarantine"),
        ("x", "is not a position"),
        ("-1:0", "is not a position"),
    ):
        answer = vera.get(f"/quarantine/{wrong}")
        assert answer.status_code == 404
        assert text in answer.text


def test_correct_an_event(tmp_path: Path) -> None:
    """An event is corrected in its page, and checked before it is sent; then it counts, and the audit says why."""
    home = made_home(tmp_path)
    bare = '{"transaction_id": "the-fourth", "user_id": "ann"}'
    send(home, bare)
    whole = purchase("the-fourth", "ann", 700, day_of(current()))
    with running(home) as rig:
        bob, vera = rig.person("bob"), rig.person("vera")
        path = "/quarantine/" + vera.get("/quarantine").text.split('href="/quarantine/')[1].split('"')[0]
        assert "Correct it" not in vera.get(path).text
        assert "Correct it" in bob.get(path).text
        for event, reason, told in (
            (whole, "", "Say why, for those who read the audit list."),
            (bare, "why", "Nothing was changed: to send it as it is, retry it."),
            ("<b>no json", "why", "this cannot be applied either (not_json): "),
            (purchase("the-fourth", "ann", -7), "why", "this cannot be applied either (bad_amount): "),
        ):
            answer = bob.post(f"{path}/correct", {"event": event, "reason": reason})
            assert (answer.status_code, told in answer.text) == (422, True), told
            assert "<b>no json" not in answer.text
        correction = {"event": whole, "reason": "the shop sent it again"}
        assert bob.fine(f"{path}/correct", correction) == "/quarantine"
        for answer in (bob.get(path), bob.post(f"{path}/correct", correction)):
            assert (answer.status_code, "Not in quarantine" in answer.text) == (404, True)
        audit = vera.get("/audit").text
        assert "<b>bob</b> quarantine.correct" in audit
        assert "the shop sent it again" in audit
        assert "the-fourth" not in audit
    send(home, purchase("t5", "ann", 50, day_of(current())))
    with running(home) as rig:
        vera = rig.person("vera")
        assert "<b>total</b> €7.50" in vera.get("/users?id=ann").text
        assert "0 events in quarantine" in vera.get("/quarantine").text


def test_quarantine_in_pages(own: Rig) -> None:
    """Many events are shown page by page, each just once."""
    home = own.home.parent / "many"
    made_home(home)
    send(home / "home", *(purchase(f"t{number}", f"u{number}", -1) for number in range(120)))
    with running(home / "home") as rig:
        vera = rig.person("vera")
        seen: list[str] = []
        path = "/quarantine"
        while path:
            page = vera.get(path).text
            seen += [one.split('"')[0] for one in page.split('class="id short" href="/quarantine/')[1:]]
            _, found, rest = page.partition('<a class="button quiet" href="/quarantine?')
            path = "/quarantine?" + rest.split('"')[0].replace("&amp;", "&") if found else ""
    assert len(seen) == len(set(seen)) == 120


def test_retry(own: Rig) -> None:
    """A retry appends the event once more and takes it out; who did it stands in the audit list."""
    send_into = own.console.services
    with_trouble = [purchase("t1", "ann", -1), '{"transaction_id": "t2"}']
    send_into.producer.append([event.encode() for event in with_trouble])
    _work(own)
    bob = own.person("bob")
    assert "Mark at least one event." in bob.post("/quarantine/retry").text
    page = bob.get("/quarantine").text
    positions = [one.split('"')[0] for one in page.split('name="position" value="')[1:]]
    assert len(positions) == 2
    answer = bob.post("/quarantine/retry", {"position": ["9:9"]})
    assert (answer.status_code, "no event at 9:9 is in quarantine" in answer.text) == (422, True)
    assert bob.fine("/quarantine/retry", {"position": positions}) == "/quarantine"
    page = bob.get("/quarantine").text
    assert "2 events appended once more." in page
    assert "0 events in quarantine" in page
    assert "appended once more" not in bob.get("/quarantine").text
    _work(own)
    assert bob.get("/quarantine").text.count('name="position" value="') == 2
    bob.fine("/quarantine/retry", {"reason": "bad_amount"})
    assert bob.get("/quarantine").text.count('name="position" value="') == 1
    assert "bob</b> quarantine.retry" in bob.get("/audit").text


def _work(rig: Rig) -> None:
    opened = bootstrap.open_home(rig.home)
    worker = bootstrap.make_worker(opened, rig.console.services.log, rig.console.services.store)  # type: ignore[arg-type]
    try:
        while worker.step(0.0):
            pass
    finally:
        worker.close()


def test_audit(own: Rig) -> None:
    """The list tells who, what, before, after and why; it is checked, searched, and given as CSV and JSON."""
    services = own.console.services
    append_audit(
        services.store, services.clock, "=cmd()", "console.test", "a, b", None, {"x": 1}, '@"quoted"'
    )
    vera = own.person("vera")
    page = vera.get("/audit").text
    assert "2 entries; each follows the one before, so none was changed or taken out." in page
    assert "ann</b> campaign.apply <b>small</b>" in page
    assert "1 entry fits" in vera.get("/audit?who=ann").text
    assert "1 entry fits" in vera.get("/audit?q=QUOTED").text
    assert "None of them fits." in vera.get("/audit?action=other").text
    answer = vera.get("/audit.csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0][:6] == ["number", "at", "who", "action", "subject", "reason"]
    assert rows[2][2:6] == ["'=cmd()", "console.test", "a, b", '\'@"quoted"']
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    told = json.loads(vera.get("/audit.json?action=console.test").text)
    assert (told["ok"], [one["after"] for one in told["entries"]]) == (True, [{"x": 1}])


def test_audit_in_pages(own: Rig) -> None:
    """Earlier entries are behind a link; a number that is none is no matter."""
    services = own.console.services
    for number in range(60):
        append_audit(services.store, services.clock, "ann", "console.test", str(number), None, None, "")
    vera = own.person("vera")
    assert "Earlier entries" in vera.get("/audit").text
    page = vera.get("/audit?below=12").text
    assert "number 11<" in page
    assert "number 12<" not in page
    assert vera.get("/audit?below=x").status_code == 200


def test_audit_that_was_changed(own: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is not as it was written is told, first of all."""
    store = own.console.services.store
    count, record = store.audit_end()
    assert record is not None
    changed = record.replace(b'"ann"', b'"eve"')
    monkeypatch.setattr(store, "audit", always([changed]))
    page = own.person("vera").get("/audit").text
    assert count == 1
    assert "The list is not as it was written: entry 1 was changed" in page


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/campaigns/none", "No campaign is named &#39;none&#39;; there are: small."),
        ("/changes/none", "Nobody has proposed this."),
        ("/changes/..%2F..%2Faccounts", "Nothing is at this address."),
        ("/jobs/none", "There is no such job, or it is no longer kept."),
        ("/jobs/%2e%2e%2faccounts", "Nothing is at this address."),
        ("/requests/none", "Nobody has asked for this."),
        ("/batch/reports/none", "there is no report &#39;none&#39;"),
    ],
)
def test_what_is_not_there(rig: Rig, path: str, text: str) -> None:
    """What is not there is told with what there is, and no id leads out of its folder."""
    answer = rig.person("ann").get(path)
    assert answer.status_code == 404
    assert text in answer.text


def test_while_a_job_runs_elsewhere(rig: Rig) -> None:
    """A job of the command line is told, and no other is started meanwhile."""
    bob = rig.person("bob")
    with only_job(rig.console.services.batch_folder, "verify"):
        assert "A batch job is under way: process" in bob.get("/batch").text
        for path in ("/batch/verify", "/campaigns/small/count"):
            answer = bob.post(path)
            assert answer.status_code == 409
            assert "One runs at a time: wait for its end" in answer.text


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, 422, "Only close and grant can be asked for."),
        ({"kind": "close", "campaign": "smal", "period": "2021-08"}, 422, "did you mean small?"),
        ({"kind": "close", "campaign": "small", "period": "August"}, 422, "&#39;August&#39; is not a month"),
        ({"kind": "grant", "campaign": "small", "period": "2021-08", "grace": "-1"}, 422, "0 to 90, not"),
        ({"kind": "grant", "campaign": "small", "period": "2021-08", "grace": "91"}, 422, "0 to 90, not"),
    ],
)
def test_asked_for_wrongly(rig: Rig, fields: dict[str, str], status: int, text: str) -> None:
    """What cannot be asked for is refused with what is due, and nothing is kept of it."""
    answer = rig.person("bob").post("/requests", fields)
    assert (answer.status_code, text in answer.text) == (status, True)
    assert rig.console.requests.all() == []


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"spec": "", "periods": "2021-08"}, "Line 1, column 1: the spec is empty"),
        ({"spec": "a: [", "periods": "2021-08"}, "this is not YAML"),
        ({"spec": SPEC, "periods": "2021"}, "&#39;2021&#39; is not a month"),
        ({"spec": SPEC, "periods": "2021-08..2021-07"}, "2021-08 comes after 2021-07"),
    ],
)
def test_simulated_wrongly(rig: Rig, fields: dict[str, str], text: str) -> None:
    """A wrong text or period is told by its place, and what was typed is still there."""
    answer = rig.person("bob").post("/simulate", fields)
    assert answer.status_code == 422
    assert text in answer.text
    assert f'value="{fields["periods"]}"' in answer.text
    assert not fields["spec"] or fields["spec"].splitlines()[0] in answer.text


def test_what_was_typed_is_text(rig: Rig) -> None:
    """A form that is shown again holds what was typed, escaped."""
    answer = rig.person("bob").post("/simulate", {"spec": "</textarea><script>", "periods": '"><script>'})
    assert "<script>" not in answer.text.replace('<script src="', "")
    assert "&lt;/textarea&gt;&lt;script&gt;" in answer.text


def test_mistakes_lead_to_their_fields(rig: Rig) -> None:
    """Each mistake in the summary leads to its field, which names it too."""
    mistake = Mistake("periods", "x")
    page = rig.person("bob").post("/simulate", {"spec": SPEC, "periods": "2021"}).text
    assert f'<a href="#f-{mistake.field}">' in page
    assert f'id="f-{mistake.field}"' in page
    assert 'aria-invalid="true"' in page
    assert 'role="alert"' in page


def test_purchases_of_this_month(tmp_path: Path) -> None:
    """The user's card of this month has what came this month, and what is missing to the next step."""
    home = made_home(tmp_path)
    send(home, *purchases(current()), purchase("last", "user-3", 50_000, day_of(current().previous())))
    with running(home) as rig:
        page = rig.person("vera").get("/users?id=user-3").text
    assert "3 of 3" in page
    assert "Met" in page
    assert "1.5 %" in page
