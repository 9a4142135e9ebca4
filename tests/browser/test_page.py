"""The user's page and <rung-ladder> in a real Chromium, on a real server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import OpenPage
from browser.embedding import Shop, shop
from browser.looking import (
    LOOKS,
    SIZES,
    Size,
    Theme,
    Trouble,
    assert_accessible,
    assert_no_sideways_scroll,
)
from browser.scenes import (
    NOW,
    Recorded,
    counting,
    described,
    effective,
    explained,
    rich_status,
    status,
    transaction,
)
from browser.served import Served, serving
from callers import KEY, token
from cli.command import purchase
from rung.status.messages import CatalogDescription
from rung.status.view import State, UserStatus

Shot = Callable[[Page, str], Path]
LOCALES = {"en": "en-GB", "ja": "ja-JP"}
REFUND = explained(
    transaction(1, "counted", ("COMPLETED", "2026-11-02T10:00:00+09:00", 4_000)),
    transaction(
        2,
        "refunded_in_full",
        ("COMPLETED", "2026-11-12T10:00:00+09:00", 1_800),
        ("REFUNDED", "2026-11-18T09:00:00+09:00", 1_800),
    ),
)


@dataclass(frozen=True)
class Case:
    """What the API tells, when, and what the page then says in each language."""

    statuses: Sequence[UserStatus]
    en: Sequence[str]
    ja: Sequence[str]
    now: str = NOW
    catalog: CatalogDescription = field(default_factory=described)
    explanation: dict[str, Any] = field(default_factory=explained)
    result_days: str | None = None
    is_away: bool = False


NOVEMBER_OVER = "2026-12-01T09:00:00+09:00"


def december(
    payments: int, total: int, state: State = State.PROVISIONAL, *, is_counting: bool = True
) -> UserStatus:
    """Return a status in December: what November has earned, and nothing counted yet."""
    now = counting(0, 0, period="2026-12") if is_counting else None
    in_force = effective(payments, total, period="2026-12", earned_in="2026-11", state=state)
    return status(now, in_force)


CASES = {
    "none yet": Case(
        [status(counting(0, 0), effective(0, 0))],
        ["No counted payments in November yet.", "30 payments and ¥50,000 to go for +0.5% in December."],
        [
            "11月の対象のお支払いはまだありません。",
            "あと30回・50,000円で、12月の付与率に+0.5%が加わります。",
        ],
    ),
    "on track": Case(
        [status(counting(18, 32_400), effective(30, 50_000))],
        [
            "12 payments and ¥17,600 to go, by 30 November.",
            "18 of 30",
            "60%",
            "¥32,400 of ¥50,000",
            "Your rate in November",
            "1.0%",
            "Until 30 November",
            "The result of October is final.",
            "Includes payment data that reached us by 14:31",
        ],
        [
            "あと12回・17,600円です（11月30日まで）。",
            "18 / 30",
            "60%",
            "32,400円 / 50,000円",
            "11月の付与率",
            "1.0%",
            "11月30日まで",
            "10月分は確定しました。",
            "14:31までに届いたお支払い情報を反映",
        ],
    ),
    "one step": Case(
        [status(counting(29, 50_000), None)],
        [
            "One more payment of ¥300 or more. Amount: done.",
            "96%",
            "No rate is in force at the moment.",
        ],
        [
            "あと1回（300円以上）で達成です。金額は達成済みです。",
            "96%",
            "現在適用されている付与率はありません。",
        ],
    ),
    "almost": Case(
        [status(counting(30, 49_999), None)],
        ["¥1 to go, by 30 November.", "99%"],
        ["あと1円です（11月30日まで）。", "99%"],
    ),
    "reached": Case(
        [status(counting(30, 50_000), None)],
        ["Target reached. A refund could still change this.", "your rate in December, so far"],
        ["条件を達成しました。返金などで変わることがあります。", "12月の付与率（現時点）"],
    ),
    "lost": Case(
        [status(counting(30, 50_000), None), status(counting(29, 48_200), None)],
        [
            "After a refund on 18 November: 29 payments, ¥48,200. 1 payment and ¥1,800 to go.",
            "The payment of ¥1,800 on 12 November.",
        ],
        [
            "11月18日の返金により、29回・48,200円になりました。あと1回・1,800円です。",
            "対象：11月12日の1,800円のお支払い",
        ],
        explanation=REFUND,
    ),
    "lost, payment unknown": Case(
        [status(counting(30, 50_000), None), status(counting(29, 48_200), None)],
        ["After a refund or cancellation: 29 payments, ¥48,200. 1 payment and ¥1,800 to go."],
        ["返金または取り消しにより、29回・48,200円になりました。あと1回・1,800円です。"],
    ),
    "lost, month over": Case(
        [december(30, 50_000), december(29, 48_200)],
        ["After a refund, November's target is no longer met."],
        ["返金により、11月の条件を満たさなくなりました。"],
        now=NOVEMBER_OVER,
    ),
    "closing": Case(
        [december(30, 50_000)],
        ["Closing November. Late payments are still being added; result expected around 3 December."],
        ["11月分を集計中です。遅れて届くお支払いも反映し、12月3日ごろ確定します。"],
        now=NOVEMBER_OVER,
        result_days="3",
    ),
    "closing, day unknown": Case(
        [december(30, 50_000)],
        ["Closing November. Late payments are still being added."],
        ["11月分を集計中です。遅れて届くお支払いも反映し、後日確定します。"],
        now=NOVEMBER_OVER,
    ),
    "waiting": Case(
        [december(30, 50_000)],
        ["November is being checked. Figures may change."],
        ["11月分を確認中です。表示は変わることがあります。"],
        now="2026-12-10T09:00:00+09:00",
        result_days="3",
    ),
    "closed": Case(
        [status(counting(30, 50_000, state=State.CLOSED), None)],
        ["The result of November is final.", "Target reached.", "your rate in December"],
        ["11月分は確定しました。", "条件を達成しました。", "12月の付与率"],
    ),
    "ended": Case(
        [december(30, 50_000, State.CLOSED, is_counting=False)],
        ["Counting ended on 30 November. Your +0.5% applies until 31 December."],
        ["カウントは11月30日に終了しました。+0.5%は12月31日まで適用されます。"],
        now=NOVEMBER_OVER,
        catalog=described(counts_until="2026-11"),
    ),
    "partial": Case(
        [status(counting(3, 900, state=State.PARTIAL), None)],
        ["Earlier payments are still being added. Figures may rise."],
        ["以前のお支払いを反映中です。表示は増えることがあります。"],
    ),
    "pending": Case(
        [status(counting(18, 32_400), None, pending=True)],
        ["New payment data is being processed, and is not counted yet."],
        ["処理中のお支払い情報があります（まだ含まれていません）。"],
    ),
    "other currency": Case(
        [status(counting(18, 32_405), None)],
        ["£324.05 of £500.00", "12 payments and £175.95 to go"],
        ["£324.05 / £500.00", "あと12回・£175.95です"],
        catalog=described(currency="GBP"),
    ),
    "error": Case(
        [],
        ["We can't show your progress. Try again."],
        ["状況を表示できません。再読み込みしてください。"],
        is_away=True,
    ),
}


@pytest.fixture(scope="module")
def foreign() -> Generator[Shop]:
    """Serve the example's shop, whose page shows the component at an origin of its own."""
    with shop() as one:
        yield one


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, foreign: Shop) -> Generator[Served]:
    """Serve a home with a small campaign, which the shop may use, for all tests of this file."""
    with serving(tmp_path_factory.mktemp("served"), foreign.origin) as one:
        foreign.rewards = one.url
        yield one


@pytest.fixture(scope="module")
def figures(browser: Browser, served: Served) -> Generator[Page]:
    """Return a page that can import the page's modules."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(served.url)
        yield page


def just_now() -> str:
    """Return the present, for a purchase that counts in the present month."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def all_of(page: Page) -> Locator:
    """Return the component's content."""
    return page.locator("rung-ladder .all")


@pytest.fixture(scope="module", params=LOCALES)
def reader(request: pytest.FixtureRequest, browser: Browser) -> Generator[tuple[str, Page]]:
    """Give a language, and a phone's page of someone who reads it: one for all states."""
    with browser.new_context(
        locale=LOCALES[request.param], viewport=SIZES["phone"], timezone_id="Asia/Tokyo"
    ) as context:
        yield request.param, context.new_page()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_state(served: Served, reader: tuple[str, Page], trouble: Trouble, case: Case) -> None:
    """Each state is told in the words of its table, in Japanese and English."""
    language, page = reader
    trouble.watch(page)
    page.clock.set_fixed_time(case.now)
    if case.is_away:
        trouble.expect("ERR_CONNECTION_REFUSED")
    Recorded(case.statuses, case.catalog, case.explanation, case.is_away).answer_on(page)
    page.goto(served.url)
    if case.result_days is not None:
        page.locator("rung-ladder").evaluate(
            "(ladder, days) => ladder.setAttribute('result-days', days)", case.result_days
        )
    page.evaluate("location.hash = '#token=t'")
    for sentence in case.ja if language == "ja" else case.en:
        expect(all_of(page)).to_contain_text(sentence)
    assert page.locator("html").get_attribute("lang") == language
    assert all_of(page).get_attribute("lang") == language
    page.goto("about:blank")
    page.unroute_all()


@pytest.mark.parametrize(("size", "theme"), [*LOOKS, ("narrow", "light"), ("narrow", "dark")])
def test_looks(served: Served, open_page: OpenPage, shot: Shot, size: Size, theme: Theme) -> None:
    """At every size and in both themes the page is accessible, and never wider than the screen."""
    # Each language is seen at each size.
    language = (
        "en" if (size, theme) in {("desktop", "light"), ("phone", "dark"), ("narrow", "dark")} else "ja"
    )
    page = open_page(size, theme, locale=LOCALES[language])
    page.clock.set_fixed_time(NOW)
    Recorded([rich_status()], explanation=REFUND).answer_on(page)
    page.goto(f"{served.url}/#token=t")
    page.locator("summary").click()
    expect(page.locator(".payments li")).to_have_count(2)
    assert_accessible(page)
    assert_no_sideways_scroll(page)
    assert shot(page, f"page-{size}-{theme}-{language}").stat().st_size > 0


def test_signed_out_looks(served: Served, open_page: OpenPage) -> None:
    """Without a token the page asks for nothing, and says where one comes from."""
    page = open_page("narrow")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served.url)
    expect(page.locator("#sign-in")).to_have_text(
        "Open this page from your payment app: it signs you in here."
    )
    assert_accessible(page)
    assert [url for url in asked if "/v1/" in url] == []


def test_a_payment_shows(served: Served, open_page: OpenPage) -> None:
    """A purchase shows by itself soon after it is posted, and the step that it reaches is announced."""
    page = open_page()
    page.goto(f"{served.url}/#token={token('live')}")
    expect(all_of(page)).to_contain_text("2 payments to go for +0.5%")
    served.post(purchase("live-1", "live", 20_000, at=just_now()))
    expect(all_of(page)).to_contain_text("One more payment of ¥300 or more.")
    expect(page.locator("rung-ladder [role=status]")).to_have_text("")
    served.post(purchase("live-2", "live", 20_000, at=just_now()))
    expect(page.locator("rung-ladder [role=status]")).to_have_text("Target reached: Starter.")
    expect(all_of(page)).to_contain_text("¥40,000 of ¥50,000")
    expect(page.locator(".step.reached")).to_have_count(1)


def test_nobody_sees_the_token(served: Served, open_page: OpenPage) -> None:
    """The credential leaves the address bar at once, and goes nowhere but into the header."""
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    secret = token("ann")
    page.goto(f"{served.url}/#token={secret}")
    expect(page.locator(".percent")).to_be_visible()
    assert page.url == f"{served.url}/"
    assert [url for url in asked if secret in url] == []
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, history.state])")
    assert secret not in kept
    assert secret not in page.content()


def test_a_service_looks(served: Served, open_page: OpenPage) -> None:
    """With a key the page shows the user that is named, of the day that is named."""
    page = open_page()
    # A status of a day does not follow, so its event is there before it is asked for.
    after = served.post(purchase("day-1", "visited/user", 60_000, at="2021-08-03T10:00:00Z"))
    served.wait_until_applied("visited/user", after)
    page.goto(f"{served.url}/#key={KEY}&user=visited%2Fuser")
    expect(page.locator("#who")).to_have_text("User visited/user")
    page.evaluate(f"location.hash = '#key={KEY}&user=visited%2Fuser&at=2021-08-20'")
    expect(page.locator("#who")).to_have_text("User visited/user, on 2021-08-20")
    expect(all_of(page)).to_contain_text("Counting in August")
    expect(all_of(page)).to_contain_text("2 payments to go, by 31 August.")


def test_a_token_ends(served: Served, open_page: OpenPage, trouble: Trouble) -> None:
    """When a token has expired the figures leave the screen, and the person is asked to sign in again."""
    trouble.expect("401")
    page = open_page()
    page.goto(f"{served.url}/#token={token('ann', exp=int(time.time()) + 3)}")
    expect(page.locator(".percent")).to_be_visible()
    expect(all_of(page)).to_have_text("Your sign-in has expired. Sign in again to see your progress.")
    page.evaluate(f"location.hash = '#token={token('ann')}'")
    expect(page.locator(".percent")).to_be_visible()


def test_a_server_goes_and_comes(served: Served, open_page: OpenPage, trouble: Trouble) -> None:
    """Without a server the figures stay and are said to be old; when it is back they are current again."""
    trouble.expect("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET")
    page = open_page()
    page.goto(f"{served.url}/#token={token('patient')}")
    expect(page.locator(".percent")).to_be_visible()
    served.stop()
    stale = page.locator(".note.warn")
    expect(stale).to_contain_text(re.compile(r"As of \d\d:\d\d\. We can't confirm anything newer\."))
    expect(page.locator(".percent")).to_be_visible()
    assert_accessible(page)
    served.start()
    served.post(purchase("back", "patient", 700, at=just_now()))
    expect(stale).to_have_count(0)
    expect(all_of(page)).to_contain_text("¥700 of ¥50,000")


def test_no_stream_to_be_had(served: Served, open_page: OpenPage, trouble: Trouble) -> None:
    """Where no stream is to be had the page polls, and asks for nothing that it has."""
    trouble.expect("503")
    page = open_page()
    page.clock.install()
    page.route("**/status/stream", lambda route: route.fulfill(status=503, json={"code": "too_many_streams"}))
    page.goto(f"{served.url}/#token={token('polled')}")
    expect(page.locator(".percent")).to_be_visible()
    with page.expect_response("**/v1/me/status") as answered:
        page.clock.run_for(16_000)
    assert answered.value.status == 304
    served.post(purchase("p1", "polled", 900, at=just_now()))
    for _ in range(20):
        if all_of(page).get_by_text("¥900 of ¥50,000").count():
            break
        with page.expect_response("**/v1/me/status"):
            page.clock.run_for(16_000)
    expect(all_of(page)).to_contain_text("¥900 of ¥50,000")


def test_nobody_looks(served: Served, open_page: OpenPage) -> None:
    """A hidden page holds no connection; shown again, it begins with a snapshot."""
    page = open_page()
    recorded = Recorded([rich_status()])
    recorded.answer_on(page)
    page.goto(f"{served.url}/#token=t")
    expect(page.locator(".percent")).to_be_visible()
    show = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(show, True)
    asked = len(recorded.asked)
    # A stream that ended would be asked for again after a second.
    page.wait_for_timeout(1_500)
    assert len(recorded.asked) == asked
    with page.expect_request("**/status/stream"):
        page.evaluate(show, False)


def test_by_keyboard(served: Served, open_page: OpenPage) -> None:
    """Everything is reached and used by keyboard, with a visible focus, and stays open while figures change."""
    page = open_page(reduced_motion=True)
    page.clock.set_fixed_time(NOW)
    waiting = transaction(3, "not_completed", ("AUTHORIZED", "2026-11-19T10:00:00+09:00", 500))
    explanation = explained(*REFUND["transactions"], waiting)
    Recorded([rich_status()], explanation=explanation).answer_on(page)
    page.goto(f"{served.url}/#token=t")
    expect(page.locator(".percent")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#language")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("特典の達成状況")
    expect(all_of(page)).to_contain_text("11月の付与率")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#theme")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.keyboard.press("Tab")
    summary = page.locator("summary")
    expect(summary).to_be_focused()
    assert summary.evaluate("(one) => getComputedStyle(one).outlineWidth") == "3px"
    page.keyboard.press("Enter")
    expect(page.locator(".why")).to_contain_text("1 processing, not counted yet")
    expect(page.locator(".payments li")).to_have_text(
        [
            re.compile("19 November.*¥500.*not completed yet"),
            re.compile("12 November.*¥1,800.*refunded in full"),
            re.compile("2 November.*¥4,000.*counted"),
        ]
    )
    # The stream begins anew each second: what is open and focused stays so.
    with page.expect_request("**/explain?*"):
        pass
    expect(summary).to_be_focused()
    expect(page.locator("details[open]")).to_have_count(1)
    motion = page.locator(".reached .mark").first.evaluate("(mark) => getComputedStyle(mark).animationName")
    assert motion == "none"


def test_set_before_it_is_there(served: Served, open_page: OpenPage) -> None:
    """What a host page sets before the component's script has come is taken over."""
    page = open_page()
    Recorded([rich_status()]).answer_on(page)
    page.route("**/host", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto(f"{served.url}/host")
    page.evaluate(
        """async () => {
            const ladder = document.createElement("rung-ladder");
            Object.assign(ladder, { token: "t", labels: { gold: "Golden" } });
            document.body.append(ladder);
            await import("/page/ladder.js");
        }"""
    )
    expect(page.locator("h4").first).to_have_text("Golden")


def test_trying_again(served: Served, open_page: OpenPage, trouble: Trouble) -> None:
    """What is refused is not asked again, until the person tries again and gets what is there by then."""
    trouble.expect("403")
    page = open_page()
    page.route("**/v1/**", lambda route: route.fulfill(status=403, json={"code": "missing_permission"}))
    page.goto(f"{served.url}/#token=t")
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    assert_accessible(page)
    page.unroute_all()
    Recorded([rich_status()]).answer_on(page)
    again.click()
    expect(page.locator(".percent")).to_be_visible()


def test_targets_are_large(served: Served, open_page: OpenPage) -> None:
    """Whatever is tapped is at least 44 pixels high."""
    page = open_page("narrow")
    Recorded([rich_status()]).answer_on(page)
    page.goto(f"{served.url}/#token=t")
    expect(page.locator(".percent")).to_be_visible()
    heights = page.locator("button, summary").evaluate_all(
        "(all) => all.map((one) => one.getBoundingClientRect().height)"
    )
    assert len(heights) == 3
    assert min(heights) >= 44


def test_while_it_loads(served: Served, open_page: OpenPage) -> None:
    """What takes longer shows a placeholder that says so; an answer replaces it."""
    page = open_page()
    recorded = Recorded([])
    recorded.answer_on(page)
    page.goto(f"{served.url}/#token=t")
    expect(page.locator("[aria-busy=true]")).to_have_text("Loading")
    assert_accessible(page)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("money(50000, 'JPY', 'ja')", "50,000円"),
        ("money(50000, 'JPY', 'en')", "¥50,000"),
        ("money(-1, 'JPY', 'en')", "−¥1"),
        ("money(52987, 'GBP', 'ja')", "£529.87"),
        ("money(5, 'EUR', 'en')", "€0.05"),
        ("money(1234567, 'KWD', 'en')", "KWD 1,234.567"),
        ("money(9007199254740991, 'USD', 'en')", "$90,071,992,547,409.91"),
        ("number(0)", "0"),
        ("number(1234567)", "1,234,567"),
        ("percentDone(999, 1000)", 99),
        ("percentDone(1000, 1000)", 100),
        ("percentDone(1, 1000)", 0),
        ("percentDone(-5, 10)", 0),
        ("percentDone(0, 0)", 100),
        ("percentDone(9007199254740990, 9007199254740991)", 99),
        ("sumOf(['2.5', '0.5', '1.0'], -1)", "1.0"),
        ("sumOf(['0.1', '0.2'])", "0.3"),
        ("sumOf(['0.25', '0.005'])", "0.255"),
        ("sumOf(['1.0', '1.5'], -1)", "-0.5"),
        ("periodName('week', daysOf('2026-W48')[0], today, 'en')", "the week of 23–29 November"),
        ("periodName('week', daysOf('2026-W49')[0], today, 'en')", "the week of 30 November–6 December"),
        ("periodName('week', daysOf('2027-W01')[0], today, 'ja')", "2027年1月4日〜2027年1月10日の週"),
        ("periodName('month', daysOf('2025-12')[0], today, 'en')", "December 2025"),
        ("periodName('month', daysOf('2026-02')[0], today, 'ja')", "2月"),
        ("periodName('day', daysOf('2026-02-28')[0], today, 'en')", "28 February"),
        ("dayName(dayAfter('2026-02'), today, 'en')", "1 March"),
        ("dayName(dayIn('Asia/Tokyo', new Date('2026-11-30T15:00:00Z')), today, 'en')", "1 December"),
        ("timeName(new Date('2026-11-20T05:32:05Z'), 'Asia/Tokyo', today, 'ja')", "14:32"),
        ("timeName(new Date('2026-11-19T15:00:00Z'), 'Asia/Tokyo', today, 'en')", "00:00"),
        ("timeName(new Date('2011-12-09T12:21:01Z'), 'UTC', today, 'en')", "12:21 on 9 December 2011"),
    ],
)
def test_figures(figures: Page, call: str, expected: str | int) -> None:
    """Money, shares, rates and days are written exactly, without a floating-point number on the way."""
    names = "money, number, percentDone, sumOf, daysOf, dayAfter, dayIn, dayName, periodName, timeName"
    assert (
        figures.evaluate(
            f"""async () => {{
                const {{ {names} }} = await import("/page/figures.js");
                const today = new Date(Date.UTC(2026, 10, 20));
                return {call};
            }}"""
        )
        == expected
    )


@pytest.mark.parametrize(
    ("expression", "en", "ja"),
    [
        ("user.premium", "Premium", "プレミアム会員"),
        ("NOT user.wholesale", "Not: Wholesale", "Wholesaleではない"),
        ("user.wholesale IS NULL", "Wholesale: not known", "Wholesale：不明"),
        ("user.wholesale IS NOT NULL", "Wholesale: known", "Wholesale：登録済み"),
        ("user.card = 'gold'", "Card: gold", "Card：gold"),
        ("NOT total < 30000", "Amount: at least 30,000", "金額：30,000以上"),
        ("total <= 5", "Amount: at most 5", "金額：5以下"),
        ("country <> 'Côte d''Ivoire'", "Country: not Côte d'Ivoire", "Country：Côte d'Ivoire以外"),
        ("user.age > 17", "Age: more than 17", "Age：17より多い"),
        ("service IN ('mall', 'flea')", "Shops", "対象店"),
        ("user.age + 1 > 17", "user.age + 1 > 17", "user.age + 1 > 17"),
    ],
)
def test_conditions(figures: Page, expression: str, en: str, ja: str) -> None:
    """A condition is told by the host page's name, else in words, and as it stands where there are none."""
    told = figures.evaluate(
        """async (expression) => {
            const { conditionWords } = await import("/page/conditions.js");
            const { number } = await import("/page/figures.js");
            const { wordsOf } = await import("/page/words.js");
            const labels = { "service IN ('mall', 'flea')": "Shops", ja: { "service IN ('mall', 'flea')": "対象店" } };
            const say = (language) => conditionWords(expression, wordsOf(language, labels), (_name, value) => number(value));
            return [say("en"), say("ja")];
        }""",
        expression,
    )
    assert told == [en, ja]


def test_in_a_foreign_page(foreign: Shop, served: Served, open_page: OpenPage, shot: Shot) -> None:
    """The component works in a page of another origin, under a policy that allows nothing inline."""
    page = open_page("desktop")
    page.goto(f"{foreign.origin}/")
    expect(all_of(page)).to_contain_text("お支払い")
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") == "28px"
    # The page's styles stop at the component, and the component's at the page.
    assert page.locator("rung-ladder h3").first.evaluate("(one) => getComputedStyle(one).fontSize") == "16px"
    hero = page.locator("rung-ladder .rate").evaluate("(one) => getComputedStyle(one).backgroundColor")
    assert hero == "rgb(122, 31, 74)"
    assert page.evaluate("Object.keys(window).filter((name) => /rung|ladder/i.test(name))") == []
    assert_accessible(page)
    assert_no_sideways_scroll(page)
    assert shot(page, "page-embedded").stat().st_size > 0


def test_a_host_page_renews(foreign: Shop, served: Served, open_page: OpenPage, trouble: Trouble) -> None:
    """A token that ends is replaced by the host page's function, and the person notices nothing."""
    trouble.allow("401")
    foreign.token_seconds = [2]
    page = open_page()
    page.goto(f"{foreign.origin}/")
    expect(page.locator(".percent")).to_be_visible()
    page.wait_for_event("response", lambda answer: answer.url.endswith("/session/rewards-token"))
    expect(page.locator(".percent")).to_be_visible()
    assert page.get_by_text("有効期限").count() == 0
