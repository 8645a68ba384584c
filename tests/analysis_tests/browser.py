"""A page in headless Chromium, driven over its DevTools protocol: what it logs, how wide it is."""

import asyncio
import base64
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

_START_S = 200  # a busy machine takes its time
_DRAW_S = 240
_TALLER = 40_000  # pixels: everything is on the screen at once, and so is drawn


def chromium() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@dataclass
class Seen:
    """What a page was like at one width and one look."""

    ready: str  # charts that were drawn
    scroll_width: int  # pixels of the page; more than its width scrolls sideways
    too_wide: list[str]  # elements that reach beyond it
    messages: list[str]  # errors of the console, exceptions
    requests: list[str]  # addresses that were asked for
    text: str
    screenshot: bytes = b""
    found: Any = None  # of the expression that was asked for


@dataclass
class _Tab:
    socket: aiohttp.ClientWebSocketResponse
    events: list[dict[str, Any]] = field(default_factory=list)
    number: int = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": parameters})
        while True:
            message = await self.socket.receive_json()
            if message.get("id") == self.number:
                assert "error" not in message, message
                return dict(message["result"])
            self.events.append(message)

    async def value(self, expression: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")


@contextmanager
def _running() -> Iterator[str]:
    """Start a browser; yield the address of its only tab."""
    executable = chromium()
    assert executable is not None
    with tempfile.TemporaryDirectory(
        prefix="trellis-chromium-", ignore_cleanup_errors=True
    ) as profile:
        command = [executable, "--headless", "--remote-debugging-port=0", "--disable-gpu",
                   "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars",
                   "--enable-unsafe-swiftshader", f"--user-data-dir={profile}"]  # fmt: skip
        if os.geteuid() == 0:
            command.append("--no-sandbox")
        process = subprocess.Popen(
            [*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield _port(Path(profile, "DevToolsActivePort"), process)
        finally:
            process.kill()
            process.wait()
            for _ in range(20):  # its children go a moment later, and write until then
                shutil.rmtree(profile, ignore_errors=True)
                if not Path(profile).exists():
                    break
                time.sleep(0.1)
            Path(profile).mkdir(exist_ok=True)


def _port(path: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the browser ended with {process.returncode}"
        if path.exists() and "\n" in path.read_text():
            return path.read_text().splitlines()[0]
        time.sleep(0.1)
    raise AssertionError(f"no browser within {_START_S} s")


_WIDER = """[...document.querySelectorAll("body *")].filter((e) => {
  const box = e.getBoundingClientRect();
  if (!box.width || box.right <= WIDTH + 0.5) return false;
  for (let up = e.parentElement; up; up = up.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(up).overflowX)) return false;
  return true;
}).map((e) => e.outerHTML.slice(0, 120))"""


_READY = """document.documentElement?.dataset.ready ?? (
  location.protocol === "file:" && document.readyState === "complete" && !document.scripts.length
  ? "0" : "")"""


async def _look(
    port: str, page: Path, width: int, dark: bool, media: str, picture: int | None, ask: str
) -> Seen:
    async with aiohttp.ClientSession() as session:
        pages: list[str] = []
        while not pages:  # the browser may not have opened it yet
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                tabs = await answer.json()
            pages = [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]
        address = pages[0]
        async with session.ws_connect(address, max_msg_size=2**28) as socket:
            tab = _Tab(socket)
            for domain in ("Runtime", "Log", "Page", "Network"):
                await tab.call(f"{domain}.enable")
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            await tab.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
            size = {"width": width, "deviceScaleFactor": 1, "mobile": width < 500}
            await tab.call("Emulation.setDeviceMetricsOverride", height=_TALLER, **size)
            await tab.call("Page.navigate", url=page.resolve().as_uri())
            ready = await _ready(tab)
            seen = Seen(
                ready=ready,
                scroll_width=await tab.value("document.documentElement.scrollWidth"),
                too_wide=await tab.value(_WIDER.replace("WIDTH", str(width))),
                messages=_messages(tab.events),
                requests=[
                    event["params"]["request"]["url"]
                    for event in tab.events
                    if event.get("method") == "Network.requestWillBeSent"
                ],
                text=await tab.value("document.body.innerText"),
                found=await tab.value(ask) if ask else None,
            )
            if picture is not None:
                height = picture or await tab.value("document.body.scrollHeight")
                await tab.call("Emulation.setDeviceMetricsOverride", height=height, **size)
                await asyncio.sleep(1.0)
                taken = await tab.call("Page.captureScreenshot", format="png")
                seen.screenshot = base64.b64decode(taken["data"])
            return seen


async def _ready(tab: _Tab) -> str:
    """Wait until all charts are drawn; return how many there are, "" where none ever was.

    A page without scripts has none to wait for.
    """
    deadline = time.monotonic() + _DRAW_S
    while time.monotonic() < deadline:
        found = await tab.value(_READY)
        if found:
            return str(found)
        await asyncio.sleep(0.2)
    return ""


def _messages(events: list[dict[str, Any]]) -> list[str]:
    found = []
    for event in events:
        method, told = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            found.append(str(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] == "error":
            found.append(str(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            found.append(str(told["entry"]["text"]))
    return found


def look(
    page: Path,
    width: int,
    dark: bool = False,
    media: str = "screen",
    picture: int | None = None,
    ask: str = "",
) -> Seen:
    """Open a page from disk, wait for its charts, and say what it is like.

    Args:
        page: An HTML file.
        width: Of the screen in pixels; below 500 a phone.
        dark: Whether the reader asks for dark pages.
        media: screen or print.
        picture: Height in pixels of a screenshot; 0 for all of the page, None for none.
        ask: A JavaScript expression whose value is wanted.
    """
    with _running() as port:
        return asyncio.run(_look(port, page, width, dark, media, picture, ask))
