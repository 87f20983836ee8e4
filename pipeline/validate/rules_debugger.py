"""SageMaker Debugger in a training job: rules, their evaluators, the tensors that a hook saves, the profiler."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.validate.debugger_names import (
    COLLECTIONS,
    DEBUGGER_RULES,
    EVALUATORS,
    INTERVALS,
    PROFILER_RULES,
    REPOSITORY,
)
from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node, duplicates, nearest, quote
from pipeline.validate.rules_hook import check_parameters
from pipeline.validate.values import literal_text, number, render

RULES = {"DebugRuleConfigurations": DEBUGGER_RULES, "ProfilerRuleConfigurations": PROFILER_RULES}
IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")
WITHOUT_SMDEBUG = re.compile(r"/pytorch(-training)?:2\.([1-9]|\d\d)")  # AWS's images since PyTorch 2.1
BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/|$)")


def check(document: Document, step: Step) -> None:
    request = step.arguments
    hook, profiler = request["DebugHookConfig"], request["ProfilerConfig"]
    for later, first in duplicates(rule["RuleConfigurationName"] for rule in _rules(request)):
        later.error(f"the rule {quote(later.value)} stands twice, first at {first.path}", "rename one, or remove it")
    for key in RULES:
        for rule in request[key]:
            _check_rule(request, rule, key)
    for holder in (hook, profiler, *_rules(request)):
        _check_address(holder["S3OutputPath"])
    _check_hook(request, hook)
    _check_profiler(document, request, profiler)


def _rules(request: Node) -> Iterator[Node]:
    for key in RULES:
        yield from request[key]


def _check_rule(request: Node, rule: Node, key: str) -> None:
    image = literal_text(rule["RuleEvaluatorImage"].value)
    found = IMAGE.match(image or "")
    if found is None or found[3] != REPOSITORY:
        return  # an evaluator of one's own, or an address that only an execution knows
    _check_image(request, rule["RuleEvaluatorImage"], found[1], found[2])
    named = rule.at("RuleParameters", "rule_to_invoke")
    if not named.there:
        rule.error("AWS's evaluator is not told which rule", "add rule_to_invoke to RuleParameters")
    elif named.text is not None and named.text not in RULES[key]:
        other = next((name for name, known in RULES.items() if named.text in known), None)
        mend = f"move it to {other}" if other else nearest(named.text, RULES[key], "see AWS's list of built-in rules")
        named.error(f"AWS has no rule {quote(named.text)} for {key}", mend)


def _check_image(request: Node, image: Node, account: str, region: str) -> None:
    wanted = EVALUATORS.get(region)
    if wanted is None:
        known = f"use one of {', '.join(sorted(EVALUATORS))}, or leave out Debugger"
        image.error(f"AWS lists no Debugger in {region}", known)
    elif account != wanted:
        image.error(f"the evaluator of {region} is not that of account {account}", f"write {wanted} in its place")
    training = IMAGE.match(literal_text(request.at("AlgorithmSpecification", "TrainingImage").value) or "")
    if training is not None and training[2] != region:
        image.error(f"an evaluator of {region} for a job in {training[2]}", f"take the image of {training[2]}")


def _check_address(address: Node) -> None:
    text = render(address.value)
    if text and not BUCKET.match(text) and not text.startswith("\x00"):
        address.error(f"{quote(address.value)} is no address in S3", "write s3://bucket/folder/")


def _check_hook(request: Node, hook: Node) -> None:
    if not hook.there:
        for rule in request["DebugRuleConfigurations"]:
            rule.error("there is no DebugHookConfig: no tensor is saved that it could judge", "add DebugHookConfig")
        return
    check_parameters(hook["HookParameters"])
    configurations = hook["CollectionConfigurations"]
    for later, first in duplicates(each["CollectionName"] for each in configurations):
        later.error(f"the collection {quote(later.value)} stands twice, first at {first.path}", "merge the two")
    for each in configurations:
        name, parameters = each["CollectionName"], each["CollectionParameters"]
        if name.text is not None and name.text not in COLLECTIONS and not parameters["include_regex"].there:
            mend = nearest(name.text, COLLECTIONS, "add include_regex to its CollectionParameters")
            name.error(f"smdebug knows no collection {quote(name.text)}, and it says not which tensors are in it", mend)
        check_parameters(parameters)
    image = literal_text(request.at("AlgorithmSpecification", "TrainingImage").value)
    if request["EnableNetworkIsolation"].value is True and WITHOUT_SMDEBUG.search(image or ""):
        hook.warning(
            "AWS's image holds no smdebug, and with EnableNetworkIsolation the job cannot fetch it: nothing is saved",
            "set EnableNetworkIsolation to false (security.network_isolation), or take an image that holds smdebug",
        )


def _check_profiler(document: Document, request: Node, profiler: Node) -> None:
    interval = profiler["ProfilingIntervalInMilliseconds"]
    for value, words in document.possible(interval.value):
        if number(value) is not None and number(value) not in INTERVALS:
            allowed = ", ".join(map(str, INTERVALS))
            interval.error(f"{words}{quote(value)} ms is no interval of the profiler", f"use one of {allowed}")
    off = profiler["DisableProfiler"]
    if off.value is True:
        for rule in request["ProfilerRuleConfigurations"]:
            rule.error(f"{off.path} switches off what it judges", "remove the rule, or DisableProfiler")
