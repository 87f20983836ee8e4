"""A registered model in plain text: what is known of it, part by part, and what is not."""

from __future__ import annotations

import os

from pipeline.cli.home import darkroom, shown
from pipeline.cli.text import on_one_line, print_error, print_table
from pipeline.control import executions, registry
from pipeline.control.times import duration, moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from pipeline.client import Clients
    from pipeline.models.dossier import Dossier
    from pipeline.models.evaluation import Evaluation
    from pipeline.models.prepared import Split

    Facts = Iterator[tuple[str, str]]

WIDTH, LABEL = 100, 12
WORST = 8  # classes that are shown
UNKNOWN = "not known"


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """What is longer than a line goes on below itself; an address is never broken, so that it can be copied."""
    from textwrap import wrap

    for name, value in facts:
        if not name and not value:
            continue
        lines = wrap(on_one_line(value), WIDTH - LABEL, break_long_words=False, break_on_hyphens=False)
        for line in lines or [""]:
            print(f"{name:<{LABEL}}{line}".rstrip())
            name = ""


def print_gaps(found: Dossier, label: str = UNKNOWN) -> None:
    """Each with its reason; what would mend it goes to stderr."""
    print_facts((label if not number else "", f"{part}: {reason}") for number, (part, reason) in _numbered(found))
    for hint in found.gaps.hints:
        print_error(f"hint:  {hint}")


def _numbered(found: Dossier) -> Iterator[tuple[int, tuple[str, str]]]:
    yield from enumerate(found.gaps.reasons.items())


def of_package(found: Dossier) -> Facts:
    package = found.package
    yield "model", f"version {found.version} of {found.group}"
    yield "status", found.status
    yield "note", str(package.get("ApprovalDescription") or "none")
    yield "registered", f"{moment(package.get('CreationTime'))}{registry.by(package.get('CreatedBy'))}"
    if package.get("LastModifiedTime"):
        yield "changed", f"{moment(package['LastModifiedTime'])}{registry.by(package.get('LastModifiedBy'))}"
    if about := package.get("ModelPackageDescription"):
        yield "about", str(about)


def of_evaluation(found: Dossier) -> Facts:
    read = found.evaluation
    yield "accuracy", accuracy(read)
    more = {name: value for name, value in (read.metrics or {}).items() if name != "accuracy"}
    if more:
        yield "figures", "  ".join(f"{name} {value:.4f}" for name, value in more.items())
    if calibration := read.calibration:
        used = "which the endpoint uses" if calibration.in_the_model else "which the model does not have"
        errors = f"{calibration.before:.4f}, {calibration.after:.4f} with temperature {calibration.temperature:.4g}"
        yield "calibration", f"error {errors}, {used}"
    else:
        yield "calibration", UNKNOWN
    yield from _champion(found)
    yield "health", _health(found)


def accuracy(read: Evaluation) -> str:
    if read.accuracy is None:
        return UNKNOWN
    span = f" (95 %: {read.interval[0]:.4f} to {read.interval[1]:.4f})" if read.interval else ""
    of = f" on {read.count:,} test pictures" if read.count is not None else ""
    return f"{read.accuracy:.4f}{span}{of}"


def _champion(found: Dossier) -> Facts:
    from pipeline.control.champion import called

    paired = found.evaluation.paired
    if paired is None:
        yield "champion", "none was approved when it was judged" if found.evaluation.accuracy is not None else UNKNOWN
        return
    name = called(paired.champion) or "of no known version"
    if not paired.verdict:
        yield "champion", f"{name}: could not be compared"
        return
    low, high = paired.interval
    sides = (paired.right_here_only, paired.right_there_only)
    only = f"; right here only {sides[0]:,}, there only {sides[1]:,}" if None not in sides else ""
    yield "champion", f"{name}: {paired.difference:+.4f} (95 %: {low:+.4f} to {high:+.4f}), {paired.verdict}{only}"
    if paired.regressions:
        yield "", f"worse in {', '.join(paired.regressions)}"
    if paired.same_data is False:
        yield "", "it may have been trained on some of these pictures, and looks better than it is"


def _health(found: Dossier) -> str:
    from pipeline.control import health

    if found.health is not None:
        return health.told(found.health)
    return UNKNOWN if "health" in found.gaps.reasons else "the training had no rules"


def print_classes(found: Dossier) -> None:
    from pipeline.models.evaluation import worst_first

    classes = found.evaluation.classes
    if not classes:
        return
    worst = worst_first(classes)
    rows = [
        (each.name[: WIDTH // 2], "" if each.count is None else f"{each.count:,}", *map(_share, _figures(each)))
        for each in worst[:WORST]
    ]
    print()
    print_table(("CLASS, WORST FIRST", "PICTURES", "RECALL", "PRECISION", "F1"), rows)
    if len(worst) > WORST:
        print(f"and {len(worst) - WORST:,} more classes: --json")
    print()


def _figures(each: Any) -> tuple[float | None, ...]:
    return each.recall, each.precision, each.f1


def _share(value: float | None) -> str:
    return "?" if value is None else f"{value:.4f}"


def of_origin(clients: Clients, found: Dossier) -> Facts:
    from pipeline.models.jobs import archive

    origin = found.origin
    yield "execution", _execution(found)
    yield "commit", origin.commit or UNKNOWN
    if origin.parameters:
        yield "parameters", _pairs(origin.parameters)
    if job := origin.training:
        took = f", {duration(job.seconds)}" if job.seconds is not None else ""
        yield "training", f"{job.name}, {job.machine or 'machine not known'}{took}"
        yield "", f"image {job.image}"
        yield "", _pairs(job.settings)
        yield "", "  ".join(f"{name} {value:.4g}" for name, value in sorted(job.metrics.items()))
    else:
        yield "training", UNKNOWN
    yield "data", f"trained on {_data(origin.train)}"
    yield "", f"judged on {_data(origin.test)}"
    yield "code", "  ".join(f"{program} {name}" for program, name in sorted(origin.code.items())) or UNKNOWN
    containers = (found.package.get("InferenceSpecification") or {}).get("Containers") or [{}]
    yield "serving", f"image {containers[0].get('Image') or UNKNOWN}"
    yield "archive", archive(found.package) or UNKNOWN
    yield "", "size not known" if found.size is None else f"{found.size:,} bytes"
    yield "evaluation", registry.evaluation_address(found.package) or UNKNOWN
    if page := registry.page_address(found.package):
        yield "page", page
    if card := found.package.get("ModelCard"):
        yield "card", f"model card, {card.get('ModelCardStatus', 'of no status')}"
    yield "report", _report(clients, found)


def _execution(found: Dossier) -> str:
    origin = found.origin
    if not origin.execution:
        return UNKNOWN
    name = f"{executions.identifier(origin.execution)} of {executions.pipeline_name(origin.execution)}"
    version = f", version {origin.version}" if origin.version is not None else ""
    started = f", started {moment(origin.started)}" if origin.started else ""
    return f"{name}{version}{started}"


def _pairs(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(values.items()))


def _data(split: Split | None) -> str:
    from pipeline.models.prepared import told

    return told(split) if split else UNKNOWN


def _report(clients: Clients, found: Dossier) -> str:
    """The page, where it was written on this machine; else what writes it."""
    if not found.origin.execution:
        return UNKNOWN
    identifier = executions.identifier(found.origin.execution)
    path = os.path.join(clients.home, "executions", identifier, "report.html")
    if "/" not in identifier and identifier not in ("", ".", "..") and os.path.exists(path):
        return shown(path)
    return f"{darkroom()} report {identifier}{clients.options}"


def of_deployment(found: Dossier) -> Facts:
    for number, each in enumerate(found.endpoints):
        share = "" if each.weight is None else f", weight {each.weight:g}"
        by = "" if each.by == "package" else ", by its archive"
        yield "" if number else "deployed", f"{each.endpoint}: {each.status}, {each.machine}{share}{by}"
    if not found.endpoints:
        yield "deployed", UNKNOWN if "endpoints" in found.gaps.reasons else "nowhere"
