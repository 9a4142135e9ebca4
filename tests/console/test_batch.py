"""Verifying, repairing and settling over HTTP, with real jobs on a real home."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.command import SPEC, purchase
from console import job_bodies
from console.console_rig import PASSWORD, Rig, day_of, launching, made_home, running, send
from rung.campaign.calendar import Period, PeriodKind
from rung.store.port import Change, Entries

PAST = Period.parse("2021-08", PeriodKind.MONTH)


def damage(rig: Rig, user: bytes) -> None:
    """Take a user's figures away, as no event does."""
    store = rig.console.services.store
    (record,) = store.users([user])
    partition = rig.console.reader.read([user])[0].partition  # type: ignore[list-item]
    change = Change(
        catalog_revision=store.catalog()[0],
        expected={},
        applied={},
        users=Entries([user], [record], [None], [user]),
        user_partitions={user: partition},
        computed_at=store.moment(),
    )
    store.commit(change)


@pytest.mark.timeout(400)
def test_verify_and_repair(tmp_path: Path) -> None:
    """A verification finds what is wrong, a dry run tells what would be done, and the typed number does it."""
    home = made_home(tmp_path)
    send(home, *(purchase(f"t{number}", f"user-{number}", 900) for number in range(5)))
    with running(home, None) as rig:
        bob, vera = rig.person("bob"), rig.person("vera")
        page = bob.job("/batch/verify")
        assert "All 5 users are equal to what all events give." in vera.get(page).text
        damage(rig, b"user-1")
        damage(rig, b"user-3")
        page = bob.job("/batch/verify")
        found = re.search(r'href="(/batch/reports/[^"]+)"', vera.get(page).text)
        assert found is not None
        report = found[1]
        text = vera.get(report).text
        assert "2 users differ from what all events give" in text
        assert "sum_mismatch" in text
        assert "The figures are not the sum of what the records contribute." in text
        assert "user-3" in text
        assert "small v0 total: 0 stored, 900 due (+900)" in text
        assert "The last verification found 2 differences" in vera.get("/").text
        assert "Look first at what the repair would do." in bob.post(f"{report}/repair", {"typed": "2"}).text
        plan = bob.job(f"{report}/plan")
        assert "Would heal 2 users" in bob.get(plan).text
        assert "Repair 2 users" not in vera.get(plan).text
        answer = bob.post(f"{report}/repair", {"typed": "all"})
        assert (answer.status_code, "Type the number of users: 2" in answer.text) == (422, True)
        done = bob.job(f"{report}/repair", {"typed": "2"})
        assert "Healed 2 users" in bob.get(done).text
        assert "All 5 users are equal" in bob.get(bob.job("/batch/verify")).text
        assert "bob</b> batch.repair" in vera.get("/audit").text
        page = vera.get("/batch").text
        assert "1 found some." in page
        assert page.count("All equal") == 2
        assert page.count("data-rate=") == 3


@pytest.mark.timeout(400)
def test_replay_a_user(tmp_path: Path) -> None:
    """One user is compared with all events, and healed once the id is typed; others stay as they are."""
    home = made_home(tmp_path)
    users = ("user-1", "<b>&2")
    send(home, *(purchase(f"t{number}", user, 900) for number, user in enumerate(users)))
    with running(home, None) as rig:
        bob, vera = rig.person("bob"), rig.person("vera")
        damage(rig, b"user-1")
        damage(rig, b"<b>&2")
        assert "dry run of a replay" not in vera.get("/users?id=user-1").text
        assert "dry run of a replay" in bob.get("/users?id=user-1").text
        asked = {"user": "<b>&2", "typed": "<b>&2"}
        answer = bob.post("/users/replay", asked)
        assert (answer.status_code, "Look first at what the replay would change." in answer.text) == (
            409,
            True,
        )
        plan = bob.job("/users/replay/plan", {"user": "<b>&2"})
        text = bob.get(plan).text
        assert "Dry run of the replay of user &lt;b&gt;&amp;2" in text
        assert "Would heal 1 user; 0 users were fine already" in text
        assert "sum_mismatch" in text
        assert "Replay this user" not in vera.get(plan).text
        answer = bob.post("/users/replay", {**asked, "typed": "user-1"})
        assert (answer.status_code, "Type the user&#39;s id, to the letter" in answer.text) == (422, True)
        done = bob.job("/users/replay", asked)
        assert "Healed 1 user; 0 users were fine already" in bob.get(done).text
        again = bob.get(bob.job("/users/replay/plan", {"user": "<b>&2"})).text
        assert "Would heal 0 users; 1 user was fine already" in again
        assert "Back to the user" in again
        assert "bob</b> batch.repair" in vera.get("/audit").text
        # No report was written: a verification finds the other user, and it alone.
        assert "/batch/reports/" not in vera.get("/batch").text
        page = bob.get(bob.job("/batch/verify")).text
        report = re.search(r'href="(/batch/reports/[^"]+)"', page)
        assert report is not None
        assert "1 user differs from what all events give" in vera.get(report[1]).text
        for user, told in (("", "An id has 1 to"), ("x" * 2_000, "An id has 1 to")):
            answer = bob.post("/users/replay/plan", {"user": user})
            assert (answer.status_code, told in answer.text) == (422, True)
        assert "1 user was fine already" in bob.get(bob.job("/users/replay/plan", {"user": "nobody"})).text


@pytest.mark.timeout(400)
def test_close_and_grant(tmp_path: Path) -> None:
    """What is settled for good is asked for by one person and done by another, with what has to be typed."""
    home = made_home(tmp_path, SPEC)
    events = [purchase(f"t{number}", "ann", 1_000, day_of(PAST, 1 + number)) for number in range(3)]
    send(home, *events, purchase("later", "ann", 20_000, day_of(PAST.next())))
    typed = {"typed": "2021-08", "password": PASSWORD}
    with running(home, None) as rig:
        ann, bob, cat = rig.person("ann"), rig.person("bob"), rig.person("cat")
        request = ann.fine(
            "/requests", {"kind": "close", "campaign": "small", "period": "2021-08", "grace": "2"}
        )
        assert (
            "ann has asked for that already"
            in bob.post("/requests", {"kind": "close", "campaign": "small", "period": "2021-08"}).text
        )
        assert "ann asks to close 2021-08 of small" in cat.get("/").text
        assert "ann asks to close" not in ann.get("/").text
        assert "You asked for it" in ann.get(request).text
        answer = ann.post(f"{request}/settle", typed)
        assert (answer.status_code, "ann asked for it: somebody else looks at it" in answer.text) == (
            422,
            True,
        )
        for wrong, told in (
            ({"typed": "2021-8"}, "Type the period, to the letter: 2021-08"),
            ({"password": "no"}, "That is not your password."),
        ):
            answer = cat.post(f"{request}/settle", {**typed, **wrong})
            assert (answer.status_code, told in answer.text) == (422, True)
        page = cat.job(f"{request}/settle", typed)
        assert "nothing was verified yet: run `rung batch verify`" in cat.get(page).text
        assert "this request is started" in cat.post(f"{request}/settle", typed).text

        bob.job("/batch/verify")
        request = bob.fine("/requests", {"kind": "close", "campaign": "small", "period": "2021-08"})
        page = cat.job(f"{request}/settle", typed)
        assert (
            "Closed for good: 1 user have a result" in cat.get(page).text
            or "Closed for good" in cat.get(page).text
        )
        assert "<b>cat</b> console.close <b>small 2021-08</b>" in bob.get("/audit").text

        request = bob.fine("/requests", {"kind": "grant", "campaign": "small", "period": "2021-09"})
        assert "at the rates of 2021-08" in cat.get(request).text
        page = cat.job(f"{request}/settle", {**typed, "typed": "2021-09"})
        assert "€3.00 in all" in cat.get(page).text
        again = bob.fine("/requests", {"kind": "grant", "campaign": "small", "period": "2021-09"})
        assert "1 request" not in bob.get("/batch").text
        assert bob.fine(f"{again}/withdraw") == "/batch"
        assert "there is nothing to take back" in bob.post(f"{again}/withdraw").text


def test_a_job_is_stopped(tmp_path: Path) -> None:
    """An operator stops a job that runs; its page says who did, and a viewer is not offered to."""
    with running(made_home(tmp_path), launching(job_bodies.on_and_on)) as rig:
        bob, vera = rig.person("bob"), rig.person("vera")
        page = bob.fine("/batch/verify")
        assert "Stop this job" in bob.get(page).text
        assert "Stop this job" not in vera.get(page).text
        assert bob.job(f"{page}/stop") == page
        text = vera.get(page).text
        assert "Stopped" in text
        assert "bob stopped it: what it had not finished is not done, and it may be run again" in text
        assert "The last job failed" not in vera.get("/").text
        again = bob.post(f"{page}/stop")
        assert (again.status_code, "the job has ended already" in again.text.lower()) == (422, True)
