"""A real browser: Debian's Chromium, headless, as a person on a desktop or a phone has it.

Owns how it is installed, started and looked into. Its connections to anything but the page under test fail the test.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import msgspec
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from ops.local.install import program
from tests.fleet import wait_until

PACKAGES = ("chromium", "chromium-driver", "fonts-inter")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip
DESKTOP = (1100, 900)
PHONE = (390, 844)
WAIT_SECONDS = 60.0


@attrs.frozen(eq=False)
class Browser:
    """One window."""

    driver: webdriver.Chrome
    base: str

    def open(self, path: str = "/") -> None:
        """Go to an address as one types it; a change behind # alone loads nothing."""
        self.driver.get(self.base + path)

    def all(self, selector: str) -> list[WebElement]:
        """Return what a CSS selector finds now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Wait for an element and return it."""
        wait_until(lambda: bool(self.all(selector)), f"there is {selector}", WAIT_SECONDS)
        return self.all(selector)[0]

    def texts(self, selector: str) -> list[str]:
        """Return the texts of elements, in one moment: a page that is drawn anew meanwhile takes none away."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        found: list[str] = self.driver.execute_script(script, selector)
        return found

    def until(self, selector: str, words: str) -> None:
        """Wait until an element has these words."""
        wait_until(
            lambda: any(words in text for text in self.texts(selector)), f"{selector} says {words}", WAIT_SECONDS
        )

    def until_idle(self) -> None:
        """Wait until nothing on the page is still loading."""
        wait_until(lambda: bool(self.all("main > *")) and not self.all('[aria-busy="true"]'), "loaded", WAIT_SECONDS)

    def click(self, selector: str) -> None:
        """Press what a pointer would, in the middle of the window: the header stays above what is scrolled."""
        found = self.one(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def tab_to(self, selector: str, limit: int = 60) -> None:
        """Reach an element by the Tab key alone."""
        script = "return document.activeElement?.matches(arguments[0]) ?? false"
        for _ in range(limit):
            if self.driver.execute_script(script, selector):
                return
            self.press(Keys.TAB)
        raise AssertionError(f"{selector} is not reached by {limit} times Tab")

    def look(self, *, dark: bool = False, size: Sequence[int] = DESKTOP) -> None:
        """Become a person with another screen or taste."""
        media = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 2 if size == PHONE else 1,
                  "mobile": size == PHONE}  # fmt: skip
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def errors(self) -> list[str]:
        """Return what the console complained of since the last call, but for answers that are problems."""
        found = self.driver.get_log("browser")
        return [one["message"] for one in found if one["level"] == "SEVERE" and one.get("source") != "network"]

    def requested(self) -> list[str]:
        """Return every address that was asked for since the last call."""
        messages = (msgspec.json.decode(one["message"])["message"] for one in self.driver.get_log("performance"))
        return [
            one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"
        ]  # fmt: skip


@contextmanager
def browser(base: str, folder: Path) -> Iterator[Browser]:
    """Start Chromium with a profile of its own; base: where the page is, without a path at its end."""
    chromium, chromedriver = (program(name, PACKAGES) for name in ("chromium", "chromedriver"))
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={DESKTOP[0]},{DESKTOP[1]}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        driver.execute_cdp_cmd("Network.enable", {})
        driver.get("about:blank")
        driver.get_log("performance")  # of the browser's own first page
        yield Browser(driver, base)
    finally:
        driver.quit()
