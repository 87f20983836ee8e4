"""`Steps.X.a.b['c'][0]`: the type at the end of that way through the step's Describe response, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from pipeline.validate import model
from pipeline.validate.document import Step
from pipeline.validate.node import Node, nearest, quote

ANY = "any"  # a scalar whose type only the run knows
TOKEN = re.compile(r"\.?([A-Za-z0-9_-]+)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]")
OUTPUT_TYPES = {"String": "string", "Integer": "integer", "Float": "float", "Boolean": "boolean"}

# Lists whose elements a reference may name, and the member that holds the name.
LIST_NAMES = {
    "Outputs": "OutputName",
    "ProcessingInputs": "InputName",
    "InputDataConfig": "ChannelName",
    "FinalMetricDataList": "MetricName",
    "MetricDefinitions": "Name",
    "ProductionVariants": "VariantName",
    "ShadowProductionVariants": "VariantName",
    "DebugRuleConfigurations": "RuleConfigurationName",
    "ProfilerRuleConfigurations": "RuleConfigurationName",
    "TrainingJobDefinitions": "DefinitionName",
    "Containers": "ContainerHostname",
}


class Answer(NamedTuple):
    """Either a type, or a problem with its mend."""

    kind: str | None
    problem: str = ""
    mend: str = ""


class Token(NamedTuple):
    text: str
    position: int | None
    bracketed: bool


def resolve(step: Step, path: str) -> Answer:
    tokens = _tokens(path)
    if not tokens:
        return Answer(None, f"{quote(path)} is not a property path", "write it as Member.Member['name'][0]")
    reader = READERS.get(step.type)
    if reader is None:
        return Answer(
            None, f"a {step.type} step has no properties", "refer to another step, or use DependsOn for the order"
        )
    return reader(step, tokens)


def _tokens(path: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    while position < len(path):
        match = TOKEN.match(path, position)
        if match is None or (match.group(1) is not None and (position > 0) != match.group(0).startswith(".")):
            return []
        name, single, double, index = match.groups()
        key = single if single is not None else double
        tokens.append(Token(name or key or "", int(index[:9]) if index else None, name is None))
        position = match.end()
    return tokens


def _described(step: Step, tokens: list[Token]) -> Answer:
    """Walks the Describe response; names are looked up in the step's own request, which the response repeats."""
    members = model.response_members(step.type)
    first = tokens[0]
    if first.text not in members:
        mend = nearest(first.text, members, f"a {step.type} step has " + ", ".join(sorted(members)[:12]) + ", …")
        return Answer(None, f"{step.name} has no property {first.text}", mend)
    shape = members[first.text]
    mirror: Node | None = step.arguments[first.text]
    way = first.text
    for token in tokens[1:]:
        if shape.type == "structure":
            if token.bracketed or token.text not in shape.members:
                mend = nearest(token.text, shape.members, "look the member up in the Describe response")
                return Answer(None, f"{step.name}.{way} has no member {quote(token.text or token.position)}", mend)
            mirror = mirror[token.text] if mirror is not None else None
            shape = shape.members[token.text]
        elif shape.type in ("list", "map"):
            if not token.bracketed or (shape.type == "map" and token.position is not None):
                how = f"['{token.text}']" if token.position is None else "['name']"
                return Answer(
                    None,
                    f"{step.name}.{way} is a {shape.type}: .{token.text} reaches nothing in it",
                    f"write {way}{how}",
                )
            problem = _missing(step, way, token, mirror)
            if problem is not None:
                return problem
            mirror = mirror[token.position] if mirror is not None and token.position is not None else None
            shape = shape.item
        else:
            return Answer(
                None, f"{step.name}.{way} is a {shape.type}: nothing lies below it", f"end the reference at {way}"
            )
        way = _extend(way, token)
    return Answer(shape.type)


def _extend(way: str, token: Token) -> str:
    if token.position is not None:
        return f"{way}[{token.position}]"
    return f"{way}['{token.text}']" if token.bracketed else f"{way}.{token.text}"


def _missing(step: Step, way: str, token: Token, mirror: Node | None) -> Answer | None:
    """None when the name is there, or when only the run can tell."""
    last = re.split(r"[.\[]", way)[-1]
    if token.position is not None:
        return None
    if last == "TunedHyperParameters":
        return _unknown(step, way, token, [*_ranged(step)], "tunes")
    if last == "FinalMetricDataList":
        metrics = [*_metrics(step)]
        return _unknown(step, way, token, metrics, "measures") if metrics else None
    if last in LIST_NAMES and (mirror is None or not isinstance(mirror.value, dict)):
        names = [item[LIST_NAMES[last]].text for item in mirror] if mirror is not None else []
        return _unknown(step, way, token, [name for name in names if name is not None], "has")
    if mirror is not None and isinstance(mirror.value, dict) and mirror.value:
        return _unknown(step, way, token, [*mirror.value], "sets")
    if mirror is not None and isinstance(mirror.value, list):
        return Answer(None, f"{step.name}.{way} is a list whose elements have no names", f"use a number: {way}[0]")
    return None


def _unknown(step: Step, way: str, token: Token, names: list[str], verb: str) -> Answer | None:
    if token.text in names:
        return None
    mend = nearest(token.text, names, f"{step.name} {verb} none there: add it, or refer to another step")
    return Answer(None, f"{step.name}.{way} has no {quote(token.text)}", mend)


def _definitions(step: Step) -> list[Node]:
    arguments = step.arguments
    single = arguments["TrainingJobDefinition"]
    return [*([single] if single.there else []), *arguments["TrainingJobDefinitions"]]


def _ranged(step: Step) -> list[str]:
    sets = [step.arguments.at("HyperParameterTuningJobConfig", "ParameterRanges")]
    sets += [definition["HyperParameterRanges"] for definition in _definitions(step)]
    names = [item["Name"].text for ranges in sets for _, kind in ranges.members() for item in kind]
    return [name for name in names if name is not None]


def _metrics(step: Step) -> list[str]:
    algorithms = [step.arguments["AlgorithmSpecification"]]
    algorithms += [definition["AlgorithmSpecification"] for definition in _definitions(step)]
    names = [metric["Name"].text for algorithm in algorithms for metric in algorithm["MetricDefinitions"]]
    return [name for name in names if name is not None]


def _outputs(step: Step, tokens: list[Token]) -> Answer:
    """A Lambda or Callback step: `Outputs['x']` or `OutputParameters['x']`, with the type that its schema gives."""
    declared = {item["OutputName"].text: item["OutputType"].text for item in step.node["OutputParameters"]}
    if tokens[0].text not in ("Outputs", "OutputParameters") or len(tokens) != 2 or not tokens[1].bracketed:
        return Answer(None, f"{step.name} has outputs only", f"write Steps.{step.name}.OutputParameters['name']")
    name = tokens[1].text
    if name not in declared:
        known = [item for item in declared if item is not None]
        return Answer(
            None,
            f"{step.name} has no output {quote(name)}",
            nearest(name, known, "add it to the step's OutputParameters"),
        )
    return Answer(OUTPUT_TYPES.get(declared[name] or "String", ANY))


def _outcome(step: Step, tokens: list[Token]) -> Answer:
    if [token.text for token in tokens] == ["Outcome"]:
        return Answer("string")
    return Answer(
        None, f"{step.name} is a Condition step: Outcome is its only property", f"write Steps.{step.name}.Outcome"
    )


READERS: dict[str, Callable[[Step, list[Token]], Answer]] = {
    **dict.fromkeys(model.REQUESTS, _described),
    "Lambda": _outputs,
    "Callback": _outputs,
    "Condition": _outcome,
}
