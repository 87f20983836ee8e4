"""The studio in a real Chromium: nothing in the console, usable by mouse, keyboard and screen reader, at two widths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from browsing import THEMES, WIDTHS, chromium, opened, serious
from local_pipelines import Local, document, processing
from playwright.sync_api import Browser
from reported import EVIL, finished_run
from studios import EXECUTION, SECRET, Hostile, Visitor, serving

from pipeline.client import local_session

PAGES = (
    "/",
    "/pipelines/digits",
    "/pipelines/digits/start",
    EXECUTION,
    f"{EXECUTION}/steps/Tune",
    f"{EXECUTION}/steps/Publish/log",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """A studio in which every name and every line is hostile."""
    clients = finished_run(tmp_path_factory.mktemp("hostile"))
    service = Hostile(Path(clients.home) / "Publish.log")
    with serving(lambda: nullcontext(clients._replace(sagemaker=service, runtime=service))) as found:
        yield found


def let_in(visitor: Visitor) -> dict[str, Any]:
    """What a context begins with that was there before."""
    place = {"domain": "127.0.0.1", "path": "/", "expires": -1, "httpOnly": True, "secure": False, "sameSite": "Strict"}
    cookie = {"name": f"darkroom-studio-{visitor.port}", "value": SECRET, **place}
    return {"storage_state": {"cookies": [cookie], "origins": []}}


def test_the_printed_address_lets_a_browser_in_and_keeps_it(browser: Browser, hostile: Visitor) -> None:
    with opened(browser, f"{hostile.url}/") as stranger:
        assert "darkroom studio" in stranger.page.locator("body").inner_text()
        stranger.page.goto(hostile.entry)
        assert stranger.page.url == f"{hostile.url}/"
        stranger.page.goto(f"{hostile.url}{EXECUTION}")
        stranger.page.get_by_role("link", name="Publish").last.click()
        assert stranger.page.url == f"{hostile.url}{EXECUTION}/steps/Publish"
        assert stranger.page.evaluate("document.cookie") == ""


@pytest.mark.parametrize(("width", "theme"), [*zip(WIDTHS, THEMES, strict=True)])
def test_no_page_complains_is_too_wide_or_keeps_somebody_out(
    browser: Browser, hostile: Visitor, width: int, theme: str
) -> None:
    with opened(browser, f"{hostile.url}/", width, theme, **let_in(hostile)) as found:
        for path in PAGES:
            found.page.goto(f"{hostile.url}{path}")
            assert EVIL in found.page.locator("body").inner_text()
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert found.said == []


def test_axe_finds_nothing_serious(browser: Browser, hostile: Visitor) -> None:
    """Past the policy, which keeps axe out as it keeps out all scripts that are not the studio's."""
    with opened(browser, f"{hostile.url}/", bypass_csp=True, **let_in(hostile)) as found:
        for path in PAGES[1:]:
            found.page.goto(f"{hostile.url}{path}")
            assert serious(found.page) == [], path


def test_the_graph_is_walked_by_keyboard(browser: Browser, hostile: Visitor) -> None:
    with opened(browser, f"{hostile.url}{EXECUTION}", **let_in(hostile)) as found:
        link = found.page.locator("svg.graph a").first
        link.focus()
        found.page.keyboard.press("Enter")
        found.page.wait_for_url(f"{hostile.url}{EXECUTION}/steps/Prepare")


def test_the_reports_script_runs_in_its_sandbox(browser: Browser, hostile: Visitor) -> None:
    with opened(browser, f"{hostile.url}{EXECUTION}/report", **let_in(hostile)) as found:
        assert found.page.locator("th button").count() > 0
        assert found.page.evaluate("origin") == "null"
    assert found.said == []


def test_a_page_follows_what_runs_and_keeps_the_focus(browser: Browser, tmp_path: Path) -> None:
    local, gates = Local(tmp_path / "home"), [tmp_path / "one", tmp_path / "two"]
    first = processing("First", "say", "began", "await", str(gates[0]))
    arn = local.start(document(first, processing("Second", "await", str(gates[1]), DependsOn=["First"])), name="live")
    local.wait_for_step(arn, "First")
    with serving(partial(local_session, local.home)) as visitor:
        address = f"{visitor.url}/pipelines/live/executions/{arn.rpartition('/')[2]}"
        with opened(browser, f"{visitor.url}/", **let_in(visitor)) as found:
            found.page.goto(f"{address}/steps/First")
            found.page.locator("pre", has_text="began").wait_for()
            found.page.goto(address)
            found.page.locator("table a", has_text="First").focus()
            found.page.evaluate("window.unchanged = true")
            gates[0].touch()
            found.page.locator("tr", has_text="Second").locator(".badge.running").wait_for()
            assert found.page.evaluate("document.activeElement.textContent") == "First"
            assert found.page.evaluate("window.unchanged")
            gates[1].touch()
            found.page.locator("h1 .badge.good").wait_for()
            found.page.wait_for_function("!window.unchanged")  # what else there is to show comes with a reload
        assert found.said == []
