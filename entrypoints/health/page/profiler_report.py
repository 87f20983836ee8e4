"""profiler-report.html: the profile of a training job drawn from profile.json and the rules' verdicts, on one page."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonfile

from health.page import drawings, operators, steps
from health.page.markup import Html, fill, joined, share, short, span, table
from health.page.parts import STATUS, advised, called, card, charts, said_by, sentence, sourced
from health.page.style import STYLE
from health.verdicts import ERROR, ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED

FILE, PAGE = "profile.json", "profiler-report.html"
ORDER = {ISSUES_FOUND: 0, ERROR: 1, NOT_EVALUATED: 2, NO_ISSUES_FOUND: 3}  # as in the report of the run
Figures = Mapping[str, Any]
SECTIONS = {  # rules of a section: its title, what is measured
    "GPU": ("LowGPUUtilization", "NVML, every 500 ms"),
    "Batch size": ("BatchSize", "steps.arrow: examples; system.arrow: cpu, memory_used_share, gpu, gpu_memory_share"),
    "CPU bottlenecks": ("CPUBottleneck", "system.arrow: cpu, gpu"),
    "I/O bottlenecks": ("IOBottleneck", "system.arrow: io_wait, gpu"),
    "Load balancing": ("LoadBalancing", "system.arrow: gpu of each; cpu_each"),
    "GPU memory": ("GPUMemoryIncrease", "system.arrow: gpu_memory_share"),
}
DRAWN = {  # section → beginnings of the names of the metrics drawn there
    "GPU": ("GPU ",),
    "CPU bottlenecks": ("CPU",),
    "I/O bottlenecks": ("I/O wait", "disk"),
    "GPU memory": ("memory of GPU",),
}


def page(figures: Figures, verdicts: Sequence[Mapping[str, Any]] = ()) -> str:
    """`figures` as profile.json has them, `verdicts` as health.json has them (rule, status, message, advice, …)."""
    said = {str(verdict["rule"]): verdict for verdict in verdicts}
    parts = [
        _head(figures),
        _first(figures),
        _job(figures),
        _system(figures),
        _framework(figures),
        steps.section(figures, said),
        _rules(verdicts),
        *(_section(title, figures, said) for title in SECTIONS),
        operators.section(figures.get("operators")),
        _foot(),
    ]
    opening = '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-'
    opening += 'width, initial-scale=1"><title>Profile of a training job</title><style>'
    return f"{opening}{STYLE}</style></head><body><main>{joined(parts)}</main></body></html>\n"


def write(folder: Path, figures: Figures, verdicts: Sequence[Mapping[str, Any]] = ()) -> None:
    """profile.json and profiler-report.html, whole or absent; the page shows what the file has."""
    jsonfile.write(folder / FILE, figures)
    partial = folder / f"{PAGE}.partial"
    partial.write_text(page(figures, verdicts), encoding="utf-8")
    partial.replace(folder / PAGE)


def _head(figures: Figures) -> Html:
    job, framework, steps = figures["job"], figures["framework"], figures["durations"]
    numbers = [
        (span(job["seconds"]), "the whole job" if job["download_known"] else "from the program's start"),
        (share(framework["train"]["share"]), "TRAIN: forward, backward, optimiser"),
        (share(framework["evaluation"]["share"]), "EVAL: validation"),
        (share(framework["others"]["share"]), "OTHERS"),
        (f"{job['steps']:,}", f"steps in {job['epochs']:,} epoch{'s' * (job['epochs'] != 1)}"),
        (span(steps.get("median")), "the median step"),
        (short(job["examples_a_second"] or 0), "pictures a second"),
    ]
    drawn = joined(fill('<div class="figure"><b>{}</b><span>{}</span></div>', *pair) for pair in numbers)
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(job["started"]))
    source = sourced("laps of the clock; steps.arrow: steps, their seconds and examples")
    text = '<header><h1>Profile of a training job</h1><p class="soft">started {}</p><div class="figures">{}</div>{}'
    return fill(text + "</header>", began, drawn, source)


def _first(figures: Figures) -> Html:
    gains = figures["advice"]
    if not gains:
        return card("What to change first", fill("<p>Nothing would save as much as 1 % of the job.</p>"))
    item = (
        '<li><div class="gain">{}<span>{} of the job</span></div><div><p>{}</p><p class="soft">{}. {}.</p></div></li>'
    )
    rows = joined(
        fill(item, span(gain["seconds"]), share(gain["share"]), gain["what"], sentence(gain["why"]), _reckoned(gain))
        for gain in gains
    )
    note = "Gains are estimates, each by itself: they do not add up where one change does the work of another."
    return card("What to change first", fill('<ol class="gains">{}</ol><p class="soft">{}</p>', rows, note))


def _reckoned(gain: Mapping[str, Any]) -> str:
    return f"Gain: {gain['reckoned']}; from {gain['source']}"


def _job(figures: Figures) -> Html:
    job = figures["job"]
    parts = [part for part in job["parts"] if part["ns"]]
    strip = drawings.strip([(part["part"], part["seconds"]) for part in parts], "the job's time by part")
    rows = [
        (
            fill("{}{}", drawings.key(part["part"]), called(part["part"])),
            drawings.bar(part["share"], drawings.COLOURS[part["part"]]),
            span(part["seconds"]),
            share(part["share"]),
            part["source"],
        )
        for part in parts
    ]
    stages = ", ".join(f"{name} {span(seconds)}" for name, seconds in job["stages"].items())
    lead = fill("<p>{}. The parts sum to the job's {} exactly.</p>", sentence(stages), span(job["seconds"]))
    heads = ("part", "bar", ">time", ">share", "*source")
    missing = "" if job["download_known"] else " What passed before the program started is not known here."
    note = fill('<p class="source">A GPU works behind the host: a lap holds what the host waited for.{}</p>', missing)
    return card("Job summary", joined([lead, strip, table(heads, rows, "stacked"), note]))


def _system(figures: Figures) -> Html:
    system, machine = figures["system"], figures["machine"]
    if not system["points"]:
        return card("System usage", fill("<p>The machine was not watched: /proc, which Linux has, is needed.</p>"))
    rows = [
        (f"{row['metric']} ({row['unit']})", *(short(row[name]) for name in ("max", "p99", "p95", "p50", "min")))
        for row in system["rows"]
    ]
    had = ""
    if machine:
        had = f"{short(machine['cores'])} cores, {machine['memory_mb']:,} MB of memory, {machine['gpus']} GPUs. "
    lead = fill("<p>{}{} looks, one every 500 ms.</p>", had, f"{system['points']:,}")
    heads = ("metric", ">max", ">p99", ">p95", ">p50", ">min")
    shown = ("CPU", "memory", "I/O wait", "network, received", "disk, read", "disk, written")
    drawn = _curves(system, lambda name, unit: name in shown and unit != "MB")
    source = sourced("system.arrow, from /proc, cgroups and NVML")
    return card("System usage", joined([lead, table(heads, rows, "dense"), drawn, source]))


def _framework(figures: Figures) -> Html:
    groups = figures["framework"]
    names = {"train": "TRAIN", "evaluation": "EVAL", "others": "OTHERS"}
    rows = []
    for name, title in names.items():
        own = [part for part in groups[name]["parts"] if part["seconds"]]
        made = ", ".join(f"{called(part['part'])} {share(part['share'])}" for part in own) or "nothing"
        bar = drawings.bar(groups[name]["share"], {"train": "s0", "evaluation": "s2", "others": "s1"}[name])
        rows.append((title, bar, span(groups[name]["seconds"]), share(groups[name]["share"]), made))
    heads = ("", "bar", ">time", ">share", "*of the job, largest first")
    shown = [table(heads, rows, "stacked")]
    mean = {name: value for name, value in figures["durations"].get("parts", {}).items() if value}
    if mean:
        keys = (fill("<span>{}{} {}</span>", drawings.key(n), called(n), span(v)) for n, v in mean.items())
        shown.append(fill("<h3>The mean step</h3>{}", drawings.strip(list(mean.items()), "the mean step by part")))
        shown.append(fill('<div class="legend">{}</div>', joined(keys)))
    source = "laps of the clock; the mean step without warm-up and profiled steps"
    return card("Framework summary", joined([*shown, sourced(source)]))


def _rules(verdicts: Sequence[Mapping[str, Any]]) -> Html:
    if not verdicts:
        return card("Rules", fill("<p>No rule was asked for.</p>"))
    rows = [
        (
            one["rule"],
            fill('<span class="badge {}">{}</span>', STATUS.get(one["status"], ""), one["status"]),
            f"{one.get('points') or 0:,}",
            advised(one),
        )
        for one in sorted(verdicts, key=lambda one: ORDER.get(one["status"], 1))
    ]
    source = sourced("health.json; points are the recorded values that were looked at")
    return card("Rules", joined([table(("rule", "status", ">points", "*what was found"), rows, "stacked"), source]))


def _section(title: str, figures: Figures, said: Mapping[str, Mapping[str, Any]]) -> Html:
    rule, source = SECTIONS[title]
    system = figures["system"]
    parts = [said_by(said.get(rule)) or fill('<p class="soft">The rule {} was not asked for.</p>', rule)]
    if title in DRAWN:
        drawn = _curves(system, lambda name, unit: name.startswith(DRAWN[title]) and unit != "MB")
        parts.append(drawn or fill("<p>{}</p>", _unseen(title, system)))
    elif title == "Load balancing" and system.get("cores"):
        parts.append(charts(("mean use of each core, %", drawings.cores(system["cores"]))))
    elif title == "Batch size":
        parts.append(fill("<p>{}</p>", _batch(figures)))
    return card(title, joined([*parts, sourced(source)]))


def _unseen(title: str, system: Figures) -> str:
    if not system["points"]:
        return "The machine was not watched."
    return "No GPU was seen." if title.startswith("GPU") else "Nothing of it was seen on this machine."


def _batch(figures: Figures) -> str:
    rows = [row for row in figures["system"]["rows"] if row["unit"] == "%" and row["metric"].split()[0] != "I/O"]
    known = ", ".join(f"{row['metric']} {row['p95']:.0f} %" for row in rows)
    rate = figures["job"]["examples_a_second"]
    speed = f"{short(rate)} pictures a second while training" if rate else "no pictures were counted"
    return f"{sentence(speed)}. 95th percentiles: {known or 'unknown, the machine was not watched'}."


def _curves(system: Figures, wanted: Any) -> Html:
    curves = [each for each in system["curves"] if wanted(each["metric"], each["unit"])]
    return charts(
        *(
            (
                f"{each['metric']}, {each['unit']}",
                drawings.band(each["points"], each["metric"], 100.0 if each["unit"] == "%" else None),
            )
            for each in curves
        )
    )


def _foot() -> Html:
    return fill("<footer>{}</footer>", "Drawn from profile.json and health.json, which lie beside this page.")
