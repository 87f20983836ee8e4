"""A real Chromium for tests of pages: one a module, without a network, which says what a page had to complain about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SERIOUS = ("serious", "critical")  # of axe's four impacts
WIDTHS = (1280, 390)
THEMES = ("light", "dark")


def program() -> str:
    """CHROMIUM, or the first of NAMES on the PATH."""
    found = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), "")
    if not found:
        pytest.fail(
            "no Chromium: install it (Debian: apt install chromium), or set CHROMIUM to its path", pytrace=False
        )
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium's sandbox cannot be had by root; nothing but files of this machine and its loopback is opened here."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program(), args=[*options, "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Opened:
    """`said`: errors and warnings of the console, exceptions, and requests that left the page."""

    page: Page
    said: list[str] = field(default_factory=list)


@contextmanager
def opened(browser: Browser, address: str, width: int = 1280, theme: str = "light", **more: Any) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **more)
    context.set_default_timeout(120_000)  # ms: for what waits for processes on a busy machine
    page = context.new_page()
    found = Opened(page)
    page.on("console", lambda said: found.said.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("request", lambda asked: found.said.append(asked.url) if _leaves(asked.url, address) else None)
    try:
        page.goto(address)
        yield found
    finally:
        context.close()


def _leaves(url: str, address: str) -> bool:
    return not url.startswith(("data:", "about:", address.partition("#")[0]))


def serious(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody from using the page: rule and the elements."""
    page.evaluate(axe_source())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {', '.join(str(node['target']) for node in each['nodes'][:5])}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
    ]


def axe_source() -> str:
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
