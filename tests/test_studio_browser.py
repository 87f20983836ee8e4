"""The studio in a real Chromium: nothing in the console, usable by mouse, keyboard and screen reader, at two widths."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from browsing import THEMES, WIDTHS, chromium, opened, serious
from hosted import deploy_package, remove, settled, soon
from local_pipelines import Local, document, processing
from PIL import Image
from playwright.sync_api import Browser, Page
from registered import PIPELINE, Registered, evaluated
from reported import EVIL
from starlette.routing import compile_path
from studios import EXECUTION, SECRET, Visitor, hostile_studio, serving
from test_cli_deploy import SURE

from pipeline.client import hosting_session, local_session
from pipeline.local.images import register_image
from pipeline.plan.making import Subject
from pipeline.studio.app import HOSTED, VIEWS
from pipeline.studio.asked import Wanted
from pipeline.studio.endpoints import LARGEST_PICTURE

PAGES = (
    "/",
    "/pipelines/digits",
    "/pipelines/digits/start",
    EXECUTION,
    f"{EXECUTION}/steps/Tune",
    f"{EXECUTION}/steps/Publish/log",
)
REPORT, OWN_PAGE = f"{EXECUTION}/report", "/models/digits/1/page"


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
        for path in PAGES:
            found.page.goto(f"{hostile.url}{path}")
            assert serious(found.page) == [], path


def test_the_graph_is_walked_by_keyboard(browser: Browser, hostile: Visitor) -> None:
    with opened(browser, f"{hostile.url}{EXECUTION}", **let_in(hostile)) as found:
        link = found.page.locator("svg.graph a").first
        link.focus()
        found.page.keyboard.press("Enter")
        found.page.wait_for_url(f"{hostile.url}{EXECUTION}/steps/Prepare")


def test_the_reports_script_runs_in_its_sandbox(browser: Browser, hostile: Visitor) -> None:
    with opened(browser, f"{hostile.url}{REPORT}", **let_in(hostile)) as found:
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
    """Started beside a pipeline.yaml that says something else, which is hostile and long."""
    document = json.loads(lived.client.describe_pipeline(PipelineName=PIPELINE)["PipelineDefinition"])
    document["Steps"][0]["Arguments"]["AppSpecification"]["ContainerArguments"][1] = EVIL + "x" * 300
    planned = nullcontext(Wanted(Subject(PIPELINE, json.dumps(document)), {}, "pipeline.yaml"))
    sessions = partial(local_session, lived.home), partial(hosting_session, lived.home)
    with serving(*sessions, planned=lambda: planned) as found:
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
def test_pages_of_what_has_lived_are_as_good(
    browser: Browser, studio: Visitor, lived: Registered, width: int, theme: str
) -> None:
    """Those of the start and of plans are looked at by axe at both widths; of the others one finds what both would."""
    planned, registered = _planned(lived), _registered(lived)
    with opened(browser, f"{studio.url}/", width, theme, bypass_csp=True, **let_in(studio)) as found:
        for path in [*planned, *registered]:
            found.page.goto(f"{studio.url}{path}")
            assert found.page.locator("h1").count() == 1, path
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert (theme == "light" and path in registered) or serious(found.page) == [], path
    assert found.said == []


def test_the_models_own_page_says_nothing_either(browser: Browser, studio: Visitor, lived: Registered) -> None:
    lived.client.storage.put_bytes("s3://test-bucket/model.html", b"<!doctype html><title>own</title><p>its own")
    package = lived.package(1)
    kept = {**package["CustomerMetadataProperties"], "page": "s3://test-bucket/model.html"}
    lived.client.update_model_package(ModelPackageArn=package["ModelPackageArn"], CustomerMetadataProperties=kept)
    with opened(browser, f"{studio.url}/", **let_in(studio)) as found:
        found.page.goto(f"{studio.url}{OWN_PAGE}")
        assert found.page.locator("p").inner_text() == "its own"
    assert found.said == []


def test_there_is_no_page_that_was_not_looked_at(lived: Registered) -> None:
    looked = [*PAGES, REPORT, OWN_PAGE, *_planned(lived), *_registered(lived)]
    pages = {page: compile_path(page)[0] for page in (*VIEWS, *HOSTED, "/plan")}
    found = {page for page, form in pages.items() if any(form.match(path.partition("?")[0]) for path in looked)}
    assert found == set(pages)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48), (40, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()


def _planned(lived: Registered) -> list[str]:
    """What begins with pipelines, two executions of one among them."""
    _two_models(lived)
    rows = lived.client.list_pipeline_executions(PipelineName=PIPELINE, MaxResults=2)["PipelineExecutionSummaries"]
    newer, older = (row["PipelineExecutionArn"].rpartition("/")[2] for row in rows)
    return ["/", f"/pipelines/{PIPELINE}/compare?a={newer}&b={older}", "/plan", f"/pipelines/{PIPELINE}/plan"]


def _registered(lived: Registered) -> list[str]:
    _two_models(lived)
    return ["/models", "/models/digits", "/models/digits/1", "/models/digits/2/compare?with=1", *_deployed(lived)]


def _two_models(lived: Registered) -> None:
    if len(lived.client.list_model_packages(ModelPackageGroupName="digits")["ModelPackageSummaryList"]) < 2:
        lived.add(evaluated(0.95), code="1" * 16)


def _deployed(lived: Registered) -> list[str]:
    if not lived.client.list_endpoints()["Endpoints"]:
        lived.decide(1, "Approved")
        deploy_package(lived.client, lived.package(1)["ModelPackageArn"], "owls")
        settled(lived.client, "owls")
    return ["/endpoints", "/endpoints/owls"]
