"""The page at `/`, in a real browser, over a real server and a real worker."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from tests.apis import OPERATOR, READ, WRITE, Site, make_site, shown
from tests.browser import DESKTOP, PHONE, Browser, browser
from tests.command import ROOT, event, served, start, stop
from tests.fleet import wait_until

SCREENSHOTS = os.environ.get("SCREENSHOTS")  # asks for them, into ops/page
FOLDER = ROOT / "ops" / "page"
SHOWN_SECONDS = 40  # of load before operators' screenshots
COLOURS = 64  # of a screenshot: enough for flat colours and soft letters, a third of the size
PRICES = {"sms": "0.0079", "voice": "0.0127", "mms": "0.02", "lookup": "0.005"}
BEGIN = datetime(2026, 10, 2, tzinfo=UTC)
HOURS = 24 * 40
ACCOUNT = "#/account/acme"


def traffic() -> Iterator[dict[str, object]]:
    """Yield forty days of one busy account and three others, busier by day than by night."""
    products = list(PRICES)
    for hour in range(HOURS):
        at = BEGIN + timedelta(hours=hour)
        wave = 1 + (9 <= at.hour <= 19) * (2 + hour * 7 % 5) + (at.weekday() < 5)
        for number in range(wave):
            product = products[(hour * 3 + number * 5) % 7 % 4]
            changed = {
                "id": f"evt-{hour:05}-{number}",
                "account": "acme" if number != 1 else ("globex", "initech", "umbrella")[hour % 3],
                "product": product,
                "time": (at + timedelta(minutes=7 * number)).isoformat(),
                "quantity": 1 + hour * number % 9,
                "attributes": {"country": ("US", "DE", "JP")[hour % 3]},
            }
            yield event(0, **changed)


def credit(number: int, kind: str, **terms: str) -> dict[str, object]:
    """Return a payment or a grant of acme."""
    at = (BEGIN + timedelta(days=3 * number)).isoformat()
    return {
        "id": f"credit-{number}",
        "account": "acme",
        "time": at,
        "type": "credit",
        "credit": {"kind": kind, "currency": "USD", **terms},
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Bill the traffic."""
    credits_of = [credit(1, "grant", amount="15", expires="2027-01-01T00:00:00Z"), credit(2, "payment", amount="10")]
    site = make_site(tmp_path_factory.mktemp("page"), [*traffic(), *credits_of], "", PRICES)
    site.bill()
    return site


@pytest.fixture(scope="module")
def base(site: Site) -> Iterator[str]:
    """Serve it, and give the address."""
    with served(site.folder) as address:
        yield address


@pytest.fixture(scope="module")
def window(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Open a browser."""
    with browser(base, tmp_path_factory.mktemp("browser")) as window:
        yield window


@pytest.fixture
def page(window: Browser) -> Iterator[Browser]:
    """Give a tab that knows no key; afterwards nothing has failed in it and nothing has left the host."""
    window.open()
    window.driver.execute_script("sessionStorage.clear()")
    window.look()
    window.open("/?again")
    yield window
    assert window.errors() == []
    asked = window.requested()
    assert asked
    assert [url for url in asked if not url.startswith(f"{window.base}/")] == []


def enter(page: Browser, key: str) -> None:
    """Type a key."""
    page.one("#key").send_keys(key, Keys.ENTER)


def look_up(page: Browser, account: str) -> None:
    """Type an account, and wait for all of it."""
    page.one("#account").send_keys(account, Keys.ENTER)
    page.until("h1", account)
    page.until_idle()


def ask(base: str, key: str, path: str) -> httpx.Response:
    """Ask the API the same."""
    return httpx.get(f"{base}{path}", headers=shown(key), timeout=60)


def test_an_account_is_shown_with_the_figures_of_the_api(page: Browser, site: Site, base: str) -> None:
    """A customer would be shown another amount than is owed, or one that a float has rounded."""
    key = site.key(READ, accounts=["acme"])
    enter(page, key)
    look_up(page, "acme")
    (balance,) = ask(base, key, "/v1/accounts/acme/balance").json()["balances"]
    told = [balance[name] + " USD" for name in ("charged", "due", "credited", "granted", "remaining")]
    assert page.texts(".tiles dd:not(.hint)") == told
    assert balance["remaining"] == "0.000000000000" or balance["due"] == "0.000000000000"
    assert "billing.key" in page.driver.execute_script("return Object.keys(sessionStorage)")
    assert page.driver.execute_script("return [localStorage.length, document.cookie]") == [0, ""]
    made = ask(base, key, "/v1/accounts/acme/charged?from=2026-10-11&to=2026-11-11").json()["charged"]
    assert len(made) == 4
    assert page.texts(".made strong") == [one["product"] for one in made]
    assert page.texts(".made .rule") == [one["rule"] for one in made]
    assert page.texts(".made .amount") == [one["amount"] + " USD" for one in made]


def test_usage_is_drawn_by_hour_day_and_month(page: Browser, site: Site, base: str) -> None:
    """A chart would show other sums than are billed, or the same ones whatever is chosen."""
    key = site.key(READ, accounts=["acme"])
    enter(page, key)
    look_up(page, "acme")
    totals = {}
    assert page.texts('.choice [aria-pressed="true"]') == ["Day"]
    for every, label, bars in (("hour", "Hour", 48), ("day", "Day", 31), ("month", "Month", 12)):
        next(one for one in page.all(".choice button") if one.text == label).click()
        wait_until(lambda bars=bars: len(page.all("rect.bar")) == bars, f"drawn by {every}")
        page.until_idle()
        assert page.texts('.choice [aria-pressed="true"]') == [label]
        assert len(page.all("rect.bar")) == bars
        totals[every] = page.texts("#usage-total")[0]
        rows = page.texts('[aria-label="Usage as a table"] tbody .amount')
        assert rows, "and as a table"
    whole = ask(base, key, "/v1/accounts/acme/usage?every=month&from=2025-12-01&to=2026-12-01").json()["total"]
    assert totals["month"] == f"{whole['amount']} USD"
    assert len(set(totals.values())) == 3
    page.one(".chart").send_keys(Keys.END)
    page.until(".told", "2026-11")


def test_transactions_are_turned_page_by_page_and_explained(page: Browser, site: Site, base: str) -> None:
    """A customer would miss lines between two pages, or be told a reason that is not the recorded one."""
    key = site.key(READ, accounts=["ac*"])
    enter(page, key)
    look_up(page, "acme")
    api = "/v1/accounts/acme/transactions?limit=20"
    first = ask(base, key, api).json()
    second = ask(base, key, f"{api}&cursor={first['next']}").json()
    ids = [[one["event"] for one in answer["transactions"]] for answer in (first, second)]
    assert page.texts(".lines .id") == ids[0]
    page.click(".pages button:last-child")
    page.until(".pages .note", "Lines 21 to 40")
    assert page.texts(".lines .id") == ids[1]
    page.click(".pages button:first-child")
    page.until(".pages .note", "Lines 1 to 20")
    assert page.texts(".lines .id") == ids[0]
    page.click(".line")
    page.until(".why", "charged")
    page.until(".why", f"by rule {first['transactions'][0]['rule']}")
    why = page.texts(".why")[0]
    assert f'product is "{first["transactions"][0]["product"]}"' in why
    assert first["transactions"][0]["amount"] in why
    assert page.texts('.line[aria-expanded="true"] .id') == ids[0][:1]
    page.click(".made li:nth-child(2) button")
    page.until_idle()
    rule = page.texts(".made li:nth-child(2) .rule")[0]
    wait_until(lambda: set(page.texts(".lines .rule")) == {rule}, "only that rule's lines are left")
    for name, words in (("product", ""), ("rule", ""), ("event", "credit-1")):
        page.one(f'input[name="{name}"]').clear()
        page.one(f'input[name="{name}"]').send_keys(words)
    page.press(Keys.ENTER)
    wait_until(lambda: page.texts(".lines .id") == ["credit-1"], "the one event that is asked for")
    page.click(".line")
    page.until(".why", "kind: grant; amount: 15; currency: USD")


def test_the_keyboard_alone_is_enough(page: Browser, site: Site) -> None:
    """Whoever cannot use a pointer could not see what is owed."""
    page.press(site.key(READ, accounts=["*"]), Keys.ENTER)
    page.one("#account")
    page.press("globex", Keys.ENTER)
    page.until("h1", "globex")
    page.until_idle()
    page.driver.refresh()
    page.until("h1", "globex")
    page.until_idle()
    page.press(Keys.TAB)
    assert page.driver.switch_to.active_element.text == "Skip to content"
    page.press(Keys.ENTER)
    assert page.driver.switch_to.active_element.tag_name == "main"
    page.tab_to('.choice [aria-pressed="false"]')
    page.press(Keys.SPACE)
    page.until('.choice [aria-pressed="true"]', "Hour")
    page.until_idle()
    page.tab_to(".chart")
    page.press(Keys.ARROW_LEFT)
    page.until(".told strong", "2026-11-")
    page.tab_to(".line")
    page.press(Keys.ENTER)
    page.until(".why", "charged")
    unnamed = """return [...document.querySelectorAll('button, input, a, [tabindex="0"]')].filter((one) =>
        !(one.textContent.trim() || one.ariaLabel || one.labels?.length)).length"""
    assert page.driver.execute_script(unnamed) == 0, "each control says what it does"


def test_what_does_not_work_is_told_in_words(page: Browser, site: Site) -> None:
    """A person would look at an empty page and not know whether the key, the account or the server is wrong."""
    enter(page, "bk_" + "a" * 10 + "_" + "x" * 43)
    page.until('[role="alert"]', "This key opens nothing here: the key is not known.")
    assert page.driver.execute_script("return sessionStorage.length") == 0
    enter(page, site.key(READ, accounts=["globex"]))
    page.one("#account").send_keys("acme", Keys.ENTER)
    page.until('[role="alert"]', "No such account for this key.")
    page.click(".brand")
    page.one("#account").send_keys("<img src=x onerror=alert(1)>", Keys.ENTER)
    page.until('[role="alert"]', "cannot be one")
    assert page.texts("h1") == ["<img src=x onerror=alert(1)>"]
    assert not page.all("main img")
    assert not page.all('nav a[href="#/operators"]')
    page.open("/#/operators")
    page.until('[role="alert"]', "This key may not do that")
    page.click("#who button")
    page.one("#key")
    assert page.driver.execute_script("return sessionStorage.length") == 0


def test_a_revoked_key_leads_back_to_the_door(page: Browser, site: Site) -> None:
    """A tab that is left open would go on showing figures as if they were new."""
    key = site.key(READ, accounts=["*"])
    enter(page, key)
    look_up(page, "acme")
    site.keys.revoke(key.split("_")[1], "test", 1)
    page.click(".heading button")
    page.until('[role="alert"]', "the key is revoked")
    page.one("#key")
    assert not page.all("#account")


def test_operators_see_the_load_live(page: Browser, site: Site, base: str) -> None:
    """Operators would look at a picture of the past while a shard falls behind."""
    worker = start("run", folder=site.folder)
    try:
        enter(page, site.key(OPERATOR))
        page.click('nav a[href="#/operators"]')
        page.one("#rate")
        key, sent, begun = site.key(WRITE, accounts=["*"]), 0, time.monotonic()
        with httpx.Client(base_url=base, headers=shown(key), timeout=60) as client:
            while page.texts("#rate") in ([], ["0"]) or not page.all(".hot a[href='#/account/hot']"):
                assert time.monotonic() < begun + 120, (page.texts("main"), worker.poll())
                now = datetime.now(UTC).isoformat()
                accounts = ["hot" if number % 3 else f"cold-{number}" for number in range(40)]
                block = [event(0, id=f"live-{sent + at}", account=accounts[at], time=now) for at in range(40)]
                sent += len(block)
                assert client.post("/v1/events", json=block).status_code == 202
                time.sleep(0.2)
            assert page.texts(".tiles .tile:last-child dd") == ["2 of 2", "all answer"]
            assert page.texts('[aria-labelledby="shards"] tbody th') == ["shard-0", "shard-1"]
            if SCREENSHOTS:
                shoot(page, "operators", client)
        page.until(".tile:nth-child(2) dd", "0 s")
        hottest = page.texts(".hot a")[0]
        page.click(".hot a")
        page.until("h1", hottest)
        page.until_idle()
    finally:
        assert stop(worker).code == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_a_phone_and_both_schemes(page: Browser, site: Site, size: tuple[int, int], scheme: str) -> None:
    """A person on a phone, or in the dark, would see half a page or a white one."""
    dark = scheme == "dark"
    page.look(dark=dark, size=size)
    enter(page, site.key(READ, accounts=["acme"]))
    look_up(page, "acme")
    page.click(".line")
    page.until(".why", "by rule")
    assert page.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
    out = """return [...document.querySelectorAll('.card *')].filter((one) => !one.closest('.scroll') &&
        one.getBoundingClientRect().right > one.closest('.card').getBoundingClientRect().right - 8)
        .map((one) => one.outerHTML.slice(0, 80))"""
    assert page.driver.execute_script(out) == [], "nothing juts out of its card"
    ground = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    red = int(ground.removeprefix("rgb(").split(",")[0])
    assert (red < 64) is dark
    small = """return [...document.querySelectorAll('main button, main input')].filter((one) =>
        one.offsetParent && one.getBoundingClientRect().height < 30).length"""
    assert page.driver.execute_script(small) == 0, "a finger hits every control"
    if SCREENSHOTS:
        name = f"account-{'phone' if size == PHONE else 'desktop'}-{scheme}"
        page.driver.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
        save(page, name)
        page.driver.execute_script("document.getElementById('made').scrollIntoView()")
        save(page, name.replace("account", "lines"))


def shoot(page: Browser, name: str, client: httpx.Client) -> None:
    """Keep what operators see while events come, on both screens and in both schemes."""
    for number in range(SHOWN_SECONDS * 5):
        block = [event(0, id=f"shot-{number}-{one}", account=f"customer-{(one * one + number) % 23 % 7}",
                       time=datetime.now(UTC).isoformat())
                 for one in range(120 + 60 * (number // 20 % 3))]  # fmt: skip
        assert client.post("/v1/events", json=block).status_code == 202
        time.sleep(0.2)
    for size, screen in ((DESKTOP, "desktop"), (PHONE, "phone")):
        for dark in (False, True):
            page.look(dark=dark, size=size)
            time.sleep(0.4)  # a picture, not a check: transitions end
            save(page, f"{name}-{screen}-{'dark' if dark else 'light'}")
    page.look()


def save(page: Browser, name: str) -> None:
    """Write a screenshot, small."""
    FOLDER.mkdir(exist_ok=True)
    path = Path(FOLDER / f"{name}.png")
    page.driver.save_screenshot(str(path))
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS).save(path, optimize=True)
