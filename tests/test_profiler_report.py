"""The profile's page: whole by itself, everything escaped, every section there."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import profiled_jobs
import pytest
from health import verdicts
from health.page import profiler_report
from health.page.drawings import Axis, axis
from health.page.markup import fill, share, short, span, table
from health.page.style import STYLE
from health.profiling import profile
from health.profiling.timers import Clock
from health.rules import steps as rules_steps
from health.rules import system as rules_system
from health.view import Records
from preparation import plots

from pipeline.report.health import ORDER

SECTIONS = [
    *("What to change first", "Job summary", "System usage", "Framework summary", "Step durations", "Rules", "GPU"),
    *("Batch size", "CPU bottlenecks", "I/O bottlenecks", "Load balancing", "GPU memory", "Operators"),
]
EVIL = "<script>alert(1)</script>\"'&\x1b"


class Balanced(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in ("meta", "rect", "path", "circle") or not self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open += [tag] if tag != "meta" else []

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def records_and_figures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Records, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("job")
    job = profiled_jobs.train(folder, stall=lambda step: 0.06 if step % 25 == 24 else 0.0, profiled=3)
    looks = {"ended": job.clock["started"] + np.arange(60) / 10, "cpu": np.linspace(10, 90, 60), "io_wait": 2.0}
    looks |= {"memory_used_share": 40.0, "cpu_each": [[50.0, 70.0]] * 60, "read_mb_s": 3.0, "write_mb_s": 0.0}
    looks |= {"gpu": [[20.0, 80.0]] * 60, "gpu_memory_share": [[30.0, 31.0]] * 60, "gpu_memory_mb": [[9.0, 9.0]] * 60}
    records = job.records._replace(system=Records.of(system=looks).system)
    machine = {"cores": 2, "memory_mb": 16_000, "gpus": 2, "every": 0.5}
    return records, json.loads(json.dumps(profile.figures(records, job.clock, job.operators, machine)))


@pytest.fixture(scope="module")
def page(records_and_figures: tuple[Records, dict[str, Any]]) -> str:
    records, figures = records_and_figures
    said = [rules_steps.step_outlier(records), rules_system.low_gpu_utilization(records)]
    return profiler_report.page(figures, [verdicts.body(verdict) for verdict in said])


def test_every_section_is_there_in_order_and_drawn(page: str) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", page) == SECTIONS
    assert {"svg", "path", "rect", "circle", "table"} <= parsed(page).seen
    assert page.count('<svg class="chart"') >= 12


def test_the_cause_of_the_outliers_stands_where_people_look_first(page: str) -> None:
    first = page.partition("What to change first</h2>")[2].partition("</section>")[0]
    assert "See what the loader does at these steps" in first
    assert "every 25 steps" in first
    durations = page.partition("Step durations</h2>")[2].partition("</section>")[0]
    assert "IssuesFound" in durations and re.search('data-head="cause"><svg class="key".*?</svg>data</td>', durations)


def test_outliers_of_other_processes_have_their_colour_and_their_seconds() -> None:
    slow = np.arange(300) % 50 == 30
    columns = {"forward": np.where(slow, 9.0, 1.0), "seconds": np.where(slow, 9.0, 1.0)}
    records = Records.of(steps=columns | {"waited": np.where(slow, 7.0, 0.0)})
    drawn = profiler_report.page(profile.figures(records, Clock().close()), [])
    durations = drawn.partition("Step durations</h2>")[2].partition("</section>")[0]
    assert re.search('data-head="cause"><svg class="key".*?class="s0".*?</svg>CPU</td>', durations)
    assert "threads that waited for CPUs: 7 s above its median" in durations


def test_every_section_says_where_its_numbers_come_from(page: str) -> None:
    header, first, *sections = re.split("<section>", page)
    assert all('class="source"' in each for each in (header, *sections))
    assert first.count("from clock: ") + first.count("from steps: ") + first.count("from system: ") == first.count(
        "<li>"
    )


def test_the_page_is_whole_by_itself(page: str) -> None:
    """No script, nothing fetched: neither addresses nor links nor imports."""
    assert "script" not in parsed(page).seen | {tag for tag in ("link", "img", "iframe") if f"<{tag}" in page}
    assert not re.search(r"https?:|url\(|@import|src=|href=", page)


def test_the_page_follows_light_and_dark_mode_and_narrow_screens(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "max-width: 640px" in page and 'name="viewport"' in page


def colours(style: str) -> list[dict[str, str]]:
    """Of light and of dark mode, by name."""
    modes = re.split(r"prefers-color-scheme: ?dark", style)
    found = [dict(re.findall(r"--(\w+): ?#(\w+)", mode)) for mode in modes]
    return [{name: one * 2 if len(one) == 3 else one for name, one in mode.items()} for mode in found]


@pytest.mark.parametrize("style", [STYLE, plots.STYLE], ids=["profile", "charts of a data set"])
def test_what_is_drawn_in_a_job_has_the_colours_of_the_run_s_report(style: str) -> None:
    """Code that travels into a job cannot import the report's style: each has its own copy."""
    report = (Path(__file__).parent.parent / "pipeline/report/style.css").read_text(encoding="utf-8")
    for own, theirs in zip(colours(style), colours(report), strict=True):
        shared = own.keys() - {"g", "o"}  # greys of the profile's strips
        assert len(shared) >= 7 and {name: own[name] for name in shared} == {name: theirs.get(name) for name in shared}


def test_rules_stand_in_the_order_of_the_run_s_report() -> None:
    said = [{"rule": status, "status": status, "points": 1, "message": "so"} for status in reversed(ORDER)]
    page = profiler_report.page(profile.figures(Records.of(), Clock().close()), said)
    rules = page.partition("<h2>Rules</h2>")[2].partition("</section>")[0]
    assert tuple(re.findall(r'data-head="rule">(\w+)<', rules)) == ORDER


def test_names_from_outside_are_escaped(records_and_figures: tuple[Records, dict[str, Any]]) -> None:
    figures = json.loads(json.dumps(records_and_figures[1]))
    figures["operators"]["cpu"]["rows"][0]["name"] = EVIL
    figures["operators"]["device"] = EVIL
    figures["system"]["rows"][0]["metric"] = EVIL
    figures["system"]["curves"][0]["metric"] = f"CPU{EVIL}"
    figures["advice"][0]["what"] = EVIL
    verdict = {"rule": EVIL, "status": EVIL, "points": 1, "message": EVIL, "advice": EVIL}
    page = profiler_report.page(figures, [verdict, verdict | {"rule": "StepOutlier"}])
    seen = parsed(page)
    assert "script" not in seen.seen
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;") >= 9


def test_a_job_of_which_nothing_is_known_has_a_page_as_well() -> None:
    page = profiler_report.page(profile.figures(Records.of(), Clock().close()))
    assert re.findall(r"<h2>(.*?)</h2>", page) == SECTIONS
    text = " ".join(parsed(page).text)
    for said in ("The machine was not watched", "No step was left", "No rule was asked for", "did not run"):
        assert said in text


SOME = np.linspace(0.5, 1.5, 200)
STRANGE: dict[str, dict[str, Any]] = {
    "one step": {"steps": {"seconds": [1.0], "forward": 1.0}},
    "two steps": {"steps": {"seconds": [1.0, 2.0], "forward": 1.0}},
    "steps that took no time": {"steps": {"seconds": np.zeros(200), "forward": 0.0}},
    "steps that nobody timed": {"steps": {"seconds": np.full(200, np.nan)}},
    "a step without a time": {"steps": {"seconds": np.where(np.arange(200) == 50, np.nan, SOME), "forward": SOME}},
    "a step without an end": {"steps": {"seconds": np.where(np.arange(200) == 50, np.inf, SOME), "forward": SOME}},
    "a clock that went back": {"steps": {"seconds": np.where(np.arange(200) == 50, -9.0, SOME)}},
    "ages": {"steps": {"seconds": SOME * 1e30, "forward": 1e30}},
    "no training": {"steps": {"seconds": SOME, "mode": "validation"}},
    "two steps far apart": {"steps": {"step": np.array([0, 2**62]), "seconds": [1.0, 2.0]}},
    "one look": {"system": {"ended": [1.0], "cpu": 5.0}},
    "looks that saw nothing": {"system": {"ended": [1.0, 2.0, np.nan], "cpu": np.nan, "memory_mb": [np.inf, 1, 2]}},
    "GPUs that come and go": {"system": {"ended": np.arange(3.0), "gpu": [[], [1.0, 2.0], [np.nan]]}},
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_whatever_was_recorded_has_figures_and_a_page(name: str) -> None:
    figures = profile.figures(Records.of(**STRANGE[name]), Clock().close())
    page = profiler_report.page(json.loads(json.dumps(figures, allow_nan=False)))
    parsed(page)
    assert re.findall(r"<h2>(.*?)</h2>", page) == SECTIONS
    assert not re.search(r"\b(nan|inf)\b", page, re.IGNORECASE)


def test_a_long_job_has_a_page_as_small_as_a_short_one_s() -> None:
    seconds = np.where(np.arange(200_000) % 40 == 0, 9.0, 1.0)
    looks = {"ended": np.arange(28_800) / 2, "cpu": 50.0}
    figures = profile.figures(
        Records.of(steps={"seconds": seconds, "data_wait": seconds - 1}, system=looks), Clock().close()
    )
    page = profiler_report.page(json.loads(json.dumps(figures, allow_nan=False)))
    assert "199,999 steps" in page and ">40 steps</td>" in page
    assert len(page) < 60_000


def test_the_page_is_drawn_from_what_stands_in_its_file(
    tmp_path: Path, records_and_figures: tuple[Records, dict[str, Any]]
) -> None:
    profiler_report.write(tmp_path, records_and_figures[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profile.json", "profiler-report.html"]
    figures = json.loads((tmp_path / "profile.json").read_text(encoding="utf-8"))
    assert (tmp_path / "profiler-report.html").read_text(encoding="utf-8") == profiler_report.page(figures)


def test_a_job_on_cpus_has_a_page(tmp_path: Path) -> None:
    job = profiled_jobs.train(tmp_path, steps=30, epochs=2)
    missing = rules_system.low_gpu_utilization(job.records)
    page = profiler_report.page(job.figures(), [verdicts.body(missing)])
    assert "NotEvaluated" in page
    assert "60" in parsed(page).text
    unwatched = "The machine was not watched."
    assert parsed(page).text.count(unwatched) == 4 and "No GPU was seen." not in page
    looks = {"ended": [1.0, 2.0], "cpu": 50.0, "memory_used_share": 40.0}
    watched = job.records._replace(system=Records.of(system=looks).system)
    seen = profiler_report.page(profile.figures(watched, job.clock))
    assert parsed(seen).text.count("No GPU was seen.") == 2 and unwatched not in seen


def test_numbers_and_spans_are_short() -> None:
    spans = [span(value) for value in (2e-6, 0.0123, 1.5, 119, 360, 9000, None)]
    assert spans == ["2 µs", "12.3 ms", "1.5 s", "119 s", "6 min", "2.5 h", "–"]
    assert [share(value) for value in (0.0, 0.0001, 0.0123, 0.5)] == ["0.0 %", "< 0.1 %", "1.2 %", "50 %"]
    assert [short(value) for value in (0, 12345.6, 1.234567, 1e-7)] == ["0", "12,346", "1.23", "1.0e-07"]


def test_templates_escape_what_is_not_html_already() -> None:
    inner = fill("<b>{}</b>", "a<b")
    assert fill("<p>{}{}</p>", inner, "&") == "<p><b>a&lt;b</b>&amp;</p>"
    assert "<td" in table(("a", ">b"), [("<", 1)]) and "&lt;" in table(("a", ">b"), [("<", 1)])


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [1e-6, 5.0], [0.3, 0.31], [7.0, 6000.0], [0.0, 0.0]])
def test_an_axis_holds_its_values_and_has_ticks(values: list[float]) -> None:
    drawn = axis(values)
    assert all(0 <= drawn.at(value) <= 1 for value in values)
    assert 1 <= len(drawn.ticks()) <= 12
    assert all(0 <= drawn.at(value) <= 1 for value in drawn.ticks())


def test_a_logarithmic_axis_has_equal_steps_for_equal_ratios() -> None:
    drawn = Axis(1.0, 100.0, log=True)
    assert drawn.at(10.0) == pytest.approx(0.5)
