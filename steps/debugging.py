"""SageMaker Debugger's members of TrainModel: what the hook saves, and AWS's rules that judge it (health.managed)."""

from __future__ import annotations

from typing import Any

from pipeline.config.health_managed import EVERY, Rule, collections, debugger_rules, profiler_rules
from steps.context import Context

Request = dict[str, Any]
MILLISECONDS = 500  # between two looks at the machine, which is AWS's default and ours


def debugging(context: Context, step: str) -> Request:
    """Nothing where health.managed is false. Trials never have it: it would save and judge tensors of each of them."""
    health = context.config.health
    if not health.managed:
        return {}
    rules = [_configuration(context, rule) for rule in debugger_rules(health.rules)]
    return {
        "DebugHookConfig": _hook(context),
        **({"DebugRuleConfigurations": rules} if rules else {}),
        "ProfilerConfig": {
            "S3OutputPath": context.run_folder(step),
            "ProfilingIntervalInMilliseconds": MILLISECONDS,
        },
        "ProfilerRuleConfigurations": [_configuration(context, rule) for rule in profiler_rules(health.rules)],
    }


def _hook(context: Context) -> Request:
    """No part of it may differ from one execution to the next: DebugHookConfig is a cache key."""
    health = context.config.health
    saved = collections(health.rules, health.every)
    return {
        "S3OutputPath": context.config.debugger_address,
        "HookParameters": {"save_interval": str(health.every or EVERY)},
        "CollectionConfigurations": [
            {"CollectionName": name, "CollectionParameters": parameters} for name, parameters in saved.items()
        ],
    }


def _configuration(context: Context, rule: Rule) -> Request:
    return {
        "RuleConfigurationName": rule.name,
        "RuleEvaluatorImage": context.images["debugger"],
        "RuleParameters": {"rule_to_invoke": rule.name, **rule.parameters},
    }
