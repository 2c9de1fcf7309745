"""Chromium for the tests: pages opened, asked, photographed and printed over the DevTools protocol.

The protocol's messages go through two pipes, as JSON ended by a null byte, so that no port is opened and nothing
but the browser itself is needed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_BROWSER = f"no browser: none of {', '.join(NAMES)} is installed"
QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
SECONDS = 30.0
# The browser takes its messages from 3 and answers on 4. Whichever numbers the pipes have here, they get these there.
START = (
    "import fcntl, os, sys; given, taken, *command = sys.argv[1:]; "
    "ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in (given, taken)]; "
    "os.dup2(ends[0], 3); os.dup2(ends[1], 4); os.execvp(command[0], command)"
)


def find_browser() -> str | None:
    """Return the path of a Chromium or Chrome, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """A running browser; what it was asked is answered before the next question."""

    def __init__(self, process: subprocess.Popen[bytes], to_browser: int, from_browser: int) -> None:
        self.process = process
        self._to, self._from = to_browser, from_browser
        self._unread = b""
        self._asked = 0
        self._pages: dict[str, Page] = {}

    def open(self, path: Path, *, width: int, height: int = 800, dark: bool = False) -> Page:
        """Open a file in a new page that is `width` pixels wide, a phone's below 600, and wait until it is loaded."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        page.resize(width, height)
        if dark:
            page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        page.ask("Page.navigate", url=path.resolve().as_uri())
        page.wait_for("Page.loadEventFired")
        return page

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        sent = json.dumps(message).encode() + b"\0"
        while sent:
            sent = sent[os.write(self._to, sent) :]
        while True:
            answer = self.listen()
            if answer.get("id") == self._asked:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def listen(self) -> dict[str, Any]:
        """Return the next message; an event is kept with its page."""
        until = time.monotonic() + SECONDS
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self._from, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError(f"the browser {'has ended' if ready else f'said nothing for {SECONDS:g} s'}")
            self._unread += part
        first, self._unread = self._unread.split(b"\0", 1)
        message: dict[str, Any] = json.loads(first)
        if "id" not in message and message.get("sessionId") in self._pages:
            self._pages[message["sessionId"]].events.append(message)
        return message


class Page:
    """An open page, and the events that it has sent."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command about this page and return its result."""
        return self.browser.ask(method, self.session, **parameters)

    def wait_for(self, event: str) -> None:
        """Wait until the page has sent an event."""
        while not self._sent(event):
            self.browser.listen()

    def resize(self, width: int, height: int) -> None:
        """Give the page another size, without a window's least width."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description", script))
        return found["result"].get("value")

    def complaints(self) -> list[str]:
        """Return what the console shows: errors, warnings, refusals and exceptions."""
        logged = [event["entry"]["text"] for event in self._sent("Log.entryAdded")]
        thrown = [event["exceptionDetails"]["text"] for event in self._sent("Runtime.exceptionThrown")]
        said = [f"{event['type']}: {event['args']}" for event in self._sent("Runtime.consoleAPICalled")]
        return logged + thrown + said

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for."""
        return [event["request"]["url"] for event in self._sent("Network.requestWillBeSent")]

    def accessible(self, *roles: str) -> list[tuple[str, str]]:
        """Return role and name of what a screen reader meets, in order: those of some roles."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        met = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
        return [(role, name) for role, name in met if role in roles]

    def screenshot(self, path: Path, *, full_page: bool = True, scale: float = 1) -> None:
        """Save a picture of the page, or of what its first screen shows."""
        box = self.ask("Page.getLayoutMetrics")["cssContentSize" if full_page else "cssLayoutViewport"]
        width = box.get("width") or box["clientWidth"]
        height = box.get("height") or box["clientHeight"]
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
        taken = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=full_page, clip=clip)
        path.write_bytes(base64.b64decode(taken["data"]))

    def pdf(self) -> bytes:
        """Print the page."""
        printed = self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        return base64.b64decode(printed["data"])

    def _sent(self, event: str) -> list[dict[str, Any]]:
        return [kept["params"] for kept in self.events if kept["method"] == event]


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser with a profile of its own, and end it.

    Raises
    ------
    FileNotFoundError
        Where none is installed.
    """
    found = find_browser()
    if found is None:
        raise FileNotFoundError(NO_BROWSER)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    for_browser, to_browser = os.pipe()
    from_browser, of_browser = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [*QUIET, *sandbox, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        process = subprocess.Popen(
            [sys.executable, "-SEc", START, str(for_browser), str(of_browser), found, *options],
            pass_fds=(for_browser, of_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(for_browser)
        os.close(of_browser)
        running = Browser(process, to_browser, from_browser)
        try:
            yield running
            running.ask("Browser.close")
        finally:
            os.close(to_browser)
            os.close(from_browser)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def screenshot(path_html: Path, path_png: Path, width: int, *, full_page: bool = True) -> None:
    """Save a picture of an HTML file opened `width` pixels wide."""
    with browser() as running:
        running.open(path_html, width=width).screenshot(path_png, full_page=full_page)
