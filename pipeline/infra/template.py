"""All parts of the template, in the order in which people read it, as YAML that is the same every time."""

from __future__ import annotations

import json

from pipeline.infra import alarms, events, functions, messages, parameters, roles, storage
from pipeline.infra.intrinsics import Json, arn, ref
from pipeline.infra.setting import Setting
from pipeline.infra.yaml_text import dumped

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
DIRECT_SIZE = 51_200  # bytes of a template in a call; a longer one, up to 1 MB, has to lie in S3
HEAD = "# Rendered by `darkroom infra` from pipeline.yaml. Do not edit: change pipeline.yaml, and render it again.\n"


def template(about: Setting) -> Json:
    rules, name = events.resources(about), about.config.pipeline.name
    resources = {
        **storage.resources(about),
        **roles.resources(about),
        **functions.resources(about),
        **messages.resources(),
        **rules,
        **alarms.resources(about, rules),
    }
    outputs = _outputs(about)
    needed = parameters.needed_by([resources, outputs])
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"darkroom: the account around the pipeline {name}, in {about.config.pipeline.region}",
        "Parameters": {key: each for key, each in parameters.parameters(about.config).items() if key in needed},
        "Conditions": {key: each for key, each in parameters.conditions().items() if key in needed},
        "Resources": resources,
        "Outputs": outputs,
    }


def as_yaml(about: Setting) -> str:
    """For people."""
    return HEAD + dumped(template(about))


def as_json(about: Setting) -> str:
    """Without blanks."""
    return json.dumps(template(about), ensure_ascii=False, separators=(",", ":")) + "\n"


def _outputs(about: Setting) -> Json:
    found: Json = {
        "Bucket": {"Value": ref("Bucket")},
        "ModelPackageGroup": {"Value": {"Fn::GetAtt": ["ModelPackageGroup", "ModelPackageGroupArn"]}},
        "ApproverTopic": {"Value": ref(messages.APPROVER)},
        "TeamTopic": {"Value": ref(messages.TEAM)},
        "UndeliveredEvents": {"Value": ref(events.QUEUE)},
    }
    for name, resource in roles.resources(about).items():
        if resource["Type"] == "AWS::IAM::Role":
            condition = {"Condition": resource["Condition"]} if "Condition" in resource else {}
            found[name] = {**condition, "Value": arn(name)}
    found[roles.APPROVER] = {"Value": ref(roles.APPROVER)}
    if about.repository:
        found["ServingRepository"] = {"Value": {"Fn::GetAtt": ["ServingRepository", "RepositoryUri"]}}
    return found
