"""A console process, a real browser to look at it, and what the browser complained about.

The browser is Debian's Chromium, driven by Playwright. Every wait is bounded by `WAIT_MS`.

A browser cuts off all that is under way when an interface of the machine comes or goes, as networks of other tests do
(ERR_NETWORK_CHANGED): no fault of the console, which asks again, and so does `Tab.open`. On a busy machine it also
notes that a library it was told of beforehand was not used within seconds: it is, when the one before it has run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as WaitedTooLong

WAIT_S = 60.0
WAIT_MS = 1000 * WAIT_S
WIDE = (1280, 820)
PHONE = (390, 780)
READY = re.compile(r"tailrace console ready (http://\S+)")
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
NOT_USED_YET = "was preloaded using link preload but not used within a few seconds"
OPENED_AGAIN = 3
START_LOOKS = 12
START_LOOK_MS = 5_000
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"

expect.set_options(timeout=WAIT_MS)


class ServedConsole:
    """`tailrace console` on a free port of loopback."""

    def __init__(self, bootstrap: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "tailrace", "console", "--bootstrap", bootstrap, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": "src"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = READY.search(line)
        if found is None:
            self.__exit__()
            raise AssertionError(f"the console did not come up: {line!r}")
        self.url = found[1]

    def __enter__(self) -> ServedConsole:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=WAIT_S)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's browser without a window or a sandbox, which root may not use: it sees loopback alone."""
    path = shutil.which("chromium")
    assert path, "Debian's chromium is not installed: see tools/compat_install.py"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page of the console. What the browser's console says of errors is kept in `complaints`."""

    def __init__(self, browser: Browser, url: str, size: tuple[int, int] = WIDE, scheme: str = "light") -> None:
        dark: dict[str, object] = {"color_scheme": scheme}
        self.context = browser.new_context(
            base_url=url,
            viewport={"width": size[0], "height": size[1]},
            permissions=["clipboard-read", "clipboard-write"],
            **dark,
        )
        self.context.set_default_timeout(WAIT_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.network_changes = 0
        self.forgiven: list[str] = []
        """Ends of addresses whose refusal is meant, as of a thing just deleted: the browser notes every 4xx."""
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, told: ConsoleMessage) -> None:
        if NETWORK_CHANGED in told.text:
            self.network_changes += 1
        elif NOT_USED_YET in told.text:
            pass
        elif told.type in ("error", "warning") and not told.location["url"].endswith(tuple(self.forgiven)):
            self.complaints.append(f"{told.text} {told.location['url']}")

    def open(self, path: str) -> Page:
        """Go to a path as somebody does who follows a link from elsewhere; returns when the page has begun."""
        for _ in range(OPENED_AGAIN):
            if self._begins(path):
                return self.page
        raise AssertionError(f"{path} does not begin: the network of this machine changes all the time")

    def _begins(self, path: str) -> bool:
        """Whether the page comes up; False when a change of the machine's network has cut off its parts."""
        changes = self.network_changes
        try:
            self.page.goto(path, wait_until="domcontentloaded")
        except Error as error:
            if NETWORK_CHANGED in error.message:
                return False
            raise
        for _ in range(START_LOOKS):
            try:
                self.page.locator(".starting").wait_for(state="detached", timeout=START_LOOK_MS)
                return True
            except WaitedTooLong:
                if self.network_changes > changes:
                    return False
        raise AssertionError(f"{path} does not begin: {self.complaints}")

    def close(self) -> None:
        """End it; fails when the browser had to complain."""
        self.context.close()
        assert not self.complaints, self.complaints


def picture(page: Page, name: str, after_ms: float = 0) -> None:
    """Write docs/images/console-NAME.png, when TAILRACE_SCREENSHOTS is set; after a while, to have something to see."""
    if os.environ.get("TAILRACE_SCREENSHOTS"):
        page.wait_for_timeout(after_ms)
        page.screenshot(path=IMAGES / f"console-{name}.png")
