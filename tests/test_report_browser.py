"""The report in a real Chromium: nothing in the console, usable by mouse, keyboard, screen reader, on paper."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from breeds import CLASSES, breeds
from browsing import THEMES, WIDTHS, chromium, opened, serious
from evaluation import page as model_page
from playwright.sync_api import Browser, Page
from reported import ARN, EVIL, finished_run
from test_model_page import report as model_report

from pipeline.report import write_report

PAPER = 794  # pixels of CSS across A4
FEW = (EVIL, *CLASSES[:7])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of eight classes, one of them hostile, and twelve trials."""
    return f"file://{write_report(breeds(tmp_path_factory.mktemp('small'), FEW, 12), ARN)}"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"file://{write_report(breeds(tmp_path_factory.mktemp('large')), ARN)}"


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a run in which every name, log and report is hostile."""
    return f"file://{write_report(finished_run(tmp_path_factory.mktemp('failed')), ARN)}"


@pytest.fixture
def page(browser: Browser, small: str) -> Iterator[Page]:
    with opened(browser, small) as found:
        yield found.page
        assert found.said == []


def shown(page: Page) -> list[str]:
    """Ids of the groups of pictures that can be seen."""
    found: list[str] = page.eval_on_selector_all(
        ".cell", "all => all.filter(each => each.offsetParent).map(each => each.id)"
    )
    return found


def column(page: Page, number: int) -> list[str]:
    found: list[str] = page.locator(f"#classes tbody tr > :nth-child({number})").all_inner_texts()
    return found


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_complains_or_is_wider_than_the_screen(
    browser: Browser, small: str, failed: str, width: int, theme: str
) -> None:
    for address in (small, failed):
        with opened(browser, address, width, theme) as found:
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width
            ink = found.page.evaluate("getComputedStyle(document.body).color")
            assert (ink == "rgb(29, 27, 32)") == (theme == "light")
        assert found.said == []


@pytest.mark.parametrize(("width", "theme"), [*zip(WIDTHS, THEMES, strict=True)])
def test_axe_finds_nothing_serious(browser: Browser, small: str, width: int, theme: str) -> None:
    with opened(browser, small, width, theme) as found:
        assert serious(found.page) == []


def test_axe_finds_nothing_serious_in_a_run_that_failed(browser: Browser, failed: str) -> None:
    with opened(browser, failed) as found:
        assert serious(found.page) == []


def test_axe_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    """Not only that it is asked: a picture without words ends it."""
    (tmp_path / "bad.html").write_text(
        "<!doctype html><html lang=en><title>x</title><main><h1>x</h1><img src='data:,'>"
    )
    with opened(browser, f"file://{tmp_path / 'bad.html'}") as found:
        assert [each.partition(":")[0] for each in serious(found.page)] == ["image-alt"]


def test_a_cell_that_is_clicked_shows_those_very_pictures(page: Page) -> None:
    everything = shown(page)
    link = page.locator("table.matrix td.off a").first
    name = str(link.get_attribute("href")).removeprefix("#")
    assert len(everything) > 3
    link.click()
    assert shown(page) == [name]
    assert page.locator(f"#{name} img").count() == int(link.inner_text())
    assert page.locator(f"#{name} img").first.evaluate("each => each.complete && each.naturalWidth > 0")
    page.get_by_role("link", name="Show all of them").click()
    assert shown(page) == everything


def test_a_cell_is_opened_by_keyboard_and_what_it_shows_has_the_focus(page: Page) -> None:
    link = page.locator("table.matrix td.off a").nth(1)
    name = str(link.get_attribute("href")).removeprefix("#")
    page.locator("[data-matrix] select").focus()
    for _ in range(3):  # the table itself, which scrolls, and two cells
        page.keyboard.press("Tab")
    assert link.evaluate("each => each === document.activeElement")
    page.keyboard.press("Enter")
    assert shown(page) == [name]
    assert page.evaluate("document.activeElement.id") == name


def test_a_table_is_sorted_by_mouse_and_by_keyboard(page: Page) -> None:
    names, recalls = column(page, 1), column(page, 4)
    head = page.locator("#classes th", has_text="recall")
    head.get_by_role("button").click()
    assert column(page, 4) == sorted(recalls, key=lambda text: -float(text.split()[0]))
    assert head.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert column(page, 4) == sorted(recalls, key=lambda text: float(text.split()[0]))
    assert head.get_attribute("aria-sort") == "ascending"
    assert sorted(column(page, 1)) == sorted(names)
    assert page.locator("#classes th[aria-sort]").count() == 1


def test_the_matrix_is_sorted_by_error_with_rows_and_columns_alike(page: Page) -> None:
    rows, heads = (page.locator(f"table.matrix {part}") for part in ("tbody th", "thead th"))
    before, cells = rows.all_inner_texts(), page.locator("table.matrix td.off").count()
    page.get_by_label("Order of classes").select_option("most errors first")
    errors = [
        float(text)
        for text in page.locator("table.matrix tbody tr").evaluate_all("all => all.map(e => e.dataset.error)")
    ]
    assert errors == sorted(errors, reverse=True)
    assert rows.all_inner_texts() == heads.all_inner_texts()
    assert rows.all_inner_texts() != before
    right = page.locator("table.matrix tbody tr").evaluate_all("all => all.map((e, i) => e.cells[i + 1].className)")
    assert "off" not in right
    assert page.locator("table.matrix td.off").count() == cells
    page.get_by_label("Order of classes").select_option("as in the data")
    assert rows.all_inner_texts() == before


def test_without_javascript_everything_is_there_but_the_sorting(browser: Browser, small: str) -> None:
    with opened(browser, small, java_script_enabled=False) as found:
        link = found.page.locator("table.matrix td.off a").first
        name = str(link.get_attribute("href")).removeprefix("#")
        link.click()
        assert found.page.locator(f"#{name} img").first.is_visible()
        assert found.page.locator(".cell").nth(1).is_visible() + found.page.locator(".cell").first.is_visible() <= 1
        assert found.page.locator("th button, [data-matrix] select").count() == 0
        assert found.page.locator("#classes tbody tr").count() == len(FEW)


def test_on_paper_nothing_is_cut_off(page: Page) -> None:
    page.set_viewport_size({"width": PAPER, "height": 1123})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
    cut = "all => all.filter(e => e.scrollHeight > e.clientHeight + 1).length"
    assert page.eval_on_selector_all(".scroll, .cells", cut) == 0
    assert not page.locator("nav").is_visible()
    hidden = (
        "all => all.filter(e => !e.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true})).length"
    )
    assert page.locator("details:not([open]) > *").count() > 1
    assert page.eval_on_selector_all("details:not(:has(iframe)) > *", hidden) == 0


def test_names_with_html_in_them_run_nothing(browser: Browser, failed: str) -> None:
    with opened(browser, failed) as found:
        found.page.on("dialog", lambda dialog: found.said.append(dialog.message))
        found.page.reload()
        assert EVIL in found.page.locator("main").inner_text()
        assert found.page.locator("script").count() == 1
    assert found.said == []


def test_a_script_that_is_not_ours_is_refused(browser: Browser, small: str, tmp_path: Path) -> None:
    """As if something had come through unescaped: the page's policy holds all the same."""
    html = Path(small.removeprefix("file://")).read_text(encoding="utf-8")
    (tmp_path / "through.html").write_text(html.replace("</h1>", "</h1><script>document.title = 'run'</script>", 1))
    with opened(browser, f"file://{tmp_path / 'through.html'}") as found:
        assert found.page.title() != "run"
        assert any("Content Security Policy" in said for said in found.said)


def test_133_classes_are_clicked_as_well(browser: Browser, large: str) -> None:
    with opened(browser, large) as found:
        link = found.page.locator("table.matrix td.off a").first
        name = str(link.get_attribute("href")).removeprefix("#")
        link.click()
        assert shown(found.page) == [name]
    assert found.said == []


def test_the_notebook_cell_of_the_docs_shows_the_page_with_all_that_it_does(
    browser: Browser, small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jupyter puts the HTML of a cell's last value into its page; here a page stands in for it."""
    docs = (Path(__file__).parent.parent / "docs" / "report.md").read_text(encoding="utf-8")
    cell = docs.partition("```python\n")[2].partition("```")[0]
    program = tmp_path / "darkroom"
    program.write_text(f"#!/bin/sh\necho {small.removeprefix('file://')}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str))
    *statements, last = ast.parse(cell).body
    names: dict[str, str] = {}
    exec(compile(ast.Module(statements, []), "cell", "exec"), names)
    assert isinstance(last, ast.Expr)
    shown_html = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    (tmp_path / "notebook.html").write_text(f"<!doctype html><title>notebook</title>{shown_html}", encoding="utf-8")
    with opened(browser, f"file://{tmp_path / 'notebook.html'}") as found:
        inner = found.page.frame_locator("iframe[title=report]")
        link = inner.locator("table.matrix td.off a").first
        name = str(link.get_attribute("href")).removeprefix("#")
        link.click()
        assert inner.locator(f"#{name} img").first.is_visible()
        assert inner.locator("th button").count() > 0
    assert found.said == []


def test_the_models_own_page_is_as_good(browser: Browser, tmp_path: Path) -> None:
    model_page.write(tmp_path, model_report())
    for width, theme in zip(WIDTHS, THEMES, strict=True):
        with opened(browser, f"file://{tmp_path / model_page.PAGE}", width, theme) as found:
            assert serious(found.page) == []
            drawn = "all => all.filter(each => each.complete && each.naturalWidth === 8).length"
            assert found.page.eval_on_selector_all("img", drawn) == 3
            found.page.locator("table.matrix a").first.click()
            assert found.page.locator("#e0-1 img").is_visible()
            assert found.page.locator(".confusion:visible").count() == 1
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        assert found.said == []
