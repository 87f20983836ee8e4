"""The studio in a real Chromium: nothing in the console, usable by mouse, keyboard and screen reader, at two widths."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from browsing import THEMES, WIDTHS, chromium, opened, serious
from hosted import deploy_package, remove, settled, soon
from local_pipelines import Local, document, processing
from PIL import Image
from playwright.sync_api import Browser, Page
from registered import Registered, evaluated
from reported import EVIL
from studios import EXECUTION, SECRET, Visitor, hostile_studio, serving
from test_cli_deploy import SURE

from pipeline.client import hosting_session, local_session
from pipeline.local.images import register_image
from pipeline.studio.endpoints import LARGEST_PICTURE

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
    with hostile_studio(tmp_path_factory.mktemp("hostile")) as found:
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
            look(found.page, away=True)
            assert visitor.streams is not None and soon(lambda: visitor.streams.open == 0)
            gates[0].touch()
            look(found.page, away=False)
            found.page.locator("tr", has_text="Second").locator(".badge.running").wait_for()
            assert found.page.evaluate("document.activeElement.textContent") == "First"
            assert found.page.evaluate("window.unchanged")
            gates[1].touch()
            found.page.locator("h1 .badge.good").wait_for()
            found.page.wait_for_function("!window.unchanged")  # what else there is to show comes with a reload
        assert found.said == []


def look(page: Page, away: bool) -> None:
    """As another tab does that is opened over this one."""
    page.evaluate("away => Object.defineProperty(document, 'hidden', {value: away, configurable: true})", away)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    """A home with a model, a pipeline that makes more of them, and a server that takes every picture for an owl."""
    folder = tmp_path_factory.mktemp("lived")
    made = Registered(folder / "home")
    made.add(evaluated(0.9))
    answer = f'"class": {EVIL!r}, "unsure": True, "top": [{{"class": "cat", "probability": 0.9}}] * 2'
    program = SURE.replace('"class": "7"', answer).replace(
        'open(os.environ["SM_MODEL_DIR"] + "/text")', "open('/dev/null')"
    )
    (folder / "server.py").write_text(program.replace("float(text)", "0.75"))
    register_image(made.client.store, "serve:*", ["env", sys.executable, str(folder / "server.py")])
    yield made
    for record in made.client.store.list("endpoint"):
        remove(made.client, record.name)


@pytest.fixture(scope="module")
def studio(lived: Registered) -> Iterator[Visitor]:
    with serving(partial(local_session, lived.home), partial(hosting_session, lived.home)) as found:
        yield found


DROP = """([name, bytes]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
  document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
}"""
WRONG = (
    "Failed to load resource: the server responded with a status of 422"  # Chromium's word for a form that is not taken
)


def test_from_a_form_to_an_approval_to_what_a_dropped_picture_is(
    browser: Browser, studio: Visitor, lived: Registered
) -> None:
    with opened(browser, f"{studio.url}/", **let_in(studio)) as found:
        page = found.page
        page.get_by_role("link", name="digits").click()
        page.get_by_role("link", name="Start", exact=True).click()
        page.get_by_label("Epochs").fill("many")
        page.get_by_role("button", name="Start").click()
        assert "'many' is not" in page.locator(".field .bad").inner_text()
        page.get_by_label("Epochs").fill("3")
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/executions/*")
        page.locator("[data-events]").wait_for(state="detached")  # it has loaded itself anew
        page.get_by_role("link", name="version 2 of digits").click()
        page.get_by_label("Note").fill("sound <b>and</b> fast")
        page.get_by_role("button", name="Approve").click()
        page.locator("h1 .badge.good", has_text="Approved").wait_for()
        assert "sound <b>and</b> fast" in page.locator("header").inner_text()
        deploy_package(lived.client, lived.package(2)["ModelPackageArn"], "owls")  # as the stack does on an approval
        settled(lived.client, "owls")
        page.get_by_role("link", name="Endpoints").click()
        page.get_by_role("link", name="owls").click()
        page.wait_for_url("**/endpoints/owls")  # and its script, without which a drop is lost
        page.evaluate(DROP, ["a<b>.png", list(png())])
        answer = page.locator(".answers li", has_text="a<b>.png")
        answer.locator(".sure").wait_for()
        assert f"{EVIL} 0.7500, unsure then cat 0.9000" in answer.inner_text()
        page.locator("#files").set_input_files(
            {"name": "b.png", "mimeType": "image/png", "buffer": png() + bytes(LARGEST_PICTURE)}
        )
        page.locator(".answers .bad", has_text="an endpoint takes 6,291,456").wait_for()
    said = [each for each in found.said if not each.startswith("blob:")]  # pictures of the page itself
    assert [each.partition(" (")[0] for each in said] == [WRONG]
    assert lived.client.list_pipeline_parameters_for_execution(
        PipelineExecutionArn=lived.package(2)["CustomerMetadataProperties"]["execution"]
    )["PipelineParameters"] == [{"Name": "Epochs", "Value": "3"}]


@pytest.mark.parametrize(("width", "theme"), [*zip(WIDTHS, THEMES, strict=True)])
def test_pages_of_models_and_endpoints_are_as_good(
    browser: Browser, studio: Visitor, lived: Registered, width: int, theme: str
) -> None:
    paths = ["/models", "/models/digits", "/models/digits/1", "/endpoints", *_compared(lived), *_deployed(lived)]
    with opened(browser, f"{studio.url}/", width, theme, bypass_csp=True, **let_in(studio)) as found:
        for path in paths:
            found.page.goto(f"{studio.url}{path}")
            assert found.page.locator("h1").count() == 1
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert theme == "light" or serious(found.page) == [], path
    assert found.said == []


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48), (40, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()


def _compared(lived: Registered) -> list[str]:
    if len(lived.client.list_model_packages(ModelPackageGroupName="digits")["ModelPackageSummaryList"]) < 2:
        lived.add(evaluated(0.95), code="1" * 16)
    return ["/models/digits/2/compare?with=1"]


def _deployed(lived: Registered) -> list[str]:
    if not lived.client.list_endpoints()["Endpoints"]:
        lived.decide(1, "Approved")
        deploy_package(lived.client, lived.package(1)["ModelPackageArn"], "owls")
        settled(lived.client, "owls")
    return ["/endpoints/owls"]
