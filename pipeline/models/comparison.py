"""Two registered models side by side: what differs in how they were made, and whether their figures compare at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.client import Clients
from pipeline.models.dossier import Dossier
from pipeline.models.evaluation import ClassFigures, Paired
from pipeline.models.prepared import DIGITS, Split
from pipeline.plan.archives import Code, CodeChange


@dataclass(frozen=True)
class Figure:
    """`difference`: the one minus the other, in whose favour is not said; None where they cannot be compared."""

    name: str
    one: float | None
    other: float | None
    difference: float | None


@dataclass(frozen=True)
class Change:
    """Something that is not the same in both; empty where it is not there."""

    name: str
    one: str
    other: str


@dataclass(frozen=True)
class Comparison:
    """`same_test`: judged on the same pictures? None where that is not known; `because` says why (not).

    `paired`: the one minus the other on the same pictures, asked by EvaluateModel when either was the other's champion.
    `classes`: recalls, largest difference first. `made`: images, machines, pipeline. `code`: programs that differ.
    """

    one: Dossier
    other: Dossier
    same_test: bool | None
    because: str
    figures: tuple[Figure, ...]
    classes: tuple[Figure, ...]
    classes_apart: tuple[Change, ...]
    paired: Paired | None
    settings: tuple[Change, ...]
    parameters: tuple[Change, ...]
    made: tuple[Change, ...]
    data: tuple[Change, ...]
    code: tuple[Change, ...]
    files: tuple[CodeChange, ...]
    hints: tuple[str, ...]  # what would let this caller read the code that could not be compared


def compare(clients: Clients, one: Dossier, other: Dossier) -> Comparison:
    same, because = _same_test(one.origin.test, other.origin.test)
    comparable = same is not False
    here, there = ({each.name: each for each in side.evaluation.classes} for side in (one, other))
    code = tuple(changes(one.origin.code, other.origin.code))
    known = Code(clients, {})
    return Comparison(
        *(one, other, same, because),
        figures=tuple(_figures(_measured(one), _measured(other), comparable)),
        classes=tuple(_classes(here, there, comparable)),
        classes_apart=tuple(_apart(here, there)),
        paired=_paired(one, other),
        settings=tuple(changes(*(_of_training(side) for side in (one, other)))),
        parameters=tuple(changes(one.origin.parameters, other.origin.parameters)),
        made=tuple(changes(_made(one), _made(other))),
        data=tuple(changes(_data(one), _data(other))),
        code=code,
        files=tuple(_files(known, one, other, code)),
        hints=tuple(dict.fromkeys(known.hints)),
    )


def changes(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Change]:
    """What is not the same, by name."""
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield Change(name, one.get(name, ""), other.get(name, ""))


def _same_test(one: Split | None, other: Split | None) -> tuple[bool | None, str]:
    if one is None or other is None:
        return None, "the test data of one of them cannot be looked at"
    if one.pictures == other.pictures:
        return True, f"the same {one.count:,} test pictures"
    if one.source != other.source:
        return False, "their test pictures come from different data"
    differing = ", ".join(
        f"{change.name} {change.one or '-'} and {change.other or '-'}"
        for change in changes(one.settings, other.settings)
    )
    prepared = f"prepared or split differently ({differing})" if differing else "prepared by different code"
    return False, f"their test pictures come from the same data, {prepared}"


def _measured(side: Dossier) -> dict[str, float]:
    """Of the evaluation, then of the training itself."""
    found = dict(side.evaluation.metrics or {})
    if side.evaluation.calibration:
        found["calibration_error"] = side.evaluation.calibration.after
    training = side.origin.training
    if training:
        found |= {f"training {name}": value for name, value in sorted(training.metrics.items())}
        found |= {"training seconds": training.seconds} if training.seconds is not None else {}
    return found


def _figures(one: Mapping[str, float], other: Mapping[str, float], comparable: bool) -> Iterator[Figure]:
    for name in dict.fromkeys((*one, *other)):
        yield _figure(name, one.get(name), other.get(name), comparable)


def _figure(name: str, one: float | None, other: float | None, comparable: bool) -> Figure:
    difference = one - other if comparable and one is not None and other is not None else None
    return Figure(name, one, other, difference)


def _classes(here: Mapping[str, ClassFigures], there: Mapping[str, ClassFigures], comparable: bool) -> list[Figure]:
    shared = [name for name in here if name in there]
    found = [_figure(name, here[name].recall, there[name].recall, comparable) for name in shared]
    return sorted(found, key=lambda each: (-abs(each.difference or 0.0), each.name))


def _apart(here: Mapping[str, ClassFigures], there: Mapping[str, ClassFigures]) -> Iterator[Change]:
    yield from (Change(name, "there", "") for name in here if name not in there)
    yield from (Change(name, "", "there") for name in there if name not in here)


def _paired(one: Dossier, other: Dossier) -> Paired | None:
    """None where EvaluateModel has not compared these two."""
    mine, theirs = one.evaluation.paired, other.evaluation.paired
    if mine and mine.verdict and mine.champion == other.arn:
        return mine
    if theirs and theirs.verdict and theirs.champion == one.arn:
        return theirs.reversed(other.arn)
    return None


def _of_training(side: Dossier) -> Mapping[str, str]:
    return side.origin.training.settings if side.origin.training else {}


def _made(side: Dossier) -> dict[str, str]:
    found = {"architecture": str((side.package.get("CustomerMetadataProperties") or {}).get("architecture", ""))}
    containers = (side.package.get("InferenceSpecification") or {}).get("Containers") or [{}]
    found["serving image"] = str(containers[0].get("Image", ""))
    for name, job in (("training", side.origin.training), ("evaluation", side.origin.evaluation)):
        if job:
            found |= {f"{name} image": job.image, f"{name} machines": job.machine}
    if side.origin.version is not None:
        found["pipeline version"] = str(side.origin.version)
    found["git commit"] = side.origin.commit
    return found


def _data(side: Dossier) -> dict[str, str]:
    """Digests of what was read, and how it was prepared."""
    found = {}
    for name, split in (("training", side.origin.train), ("test", side.origin.test)):
        if split:
            found[f"{name} data set"] = f"{split.kind} {split.source[:DIGITS]}"
            found[f"{name} pictures"] = f"{split.count:,}, {split.pictures[:DIGITS]}"
    if side.origin.train:
        found |= {f"prepared with {name}": value for name, value in side.origin.train.settings.items()}
    return found


def _files(known: Code, one: Dossier, other: Dossier, code: tuple[Change, ...]) -> Iterator[CodeChange]:
    """From the other's files to the one's, of programs that both have."""
    for change in code:
        new, old = one.origin.addresses.get(change.name), other.origin.addresses.get(change.name)
        if new and old:
            yield known.change(change.name, old, new)
