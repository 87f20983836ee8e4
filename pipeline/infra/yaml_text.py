"""A template as YAML with CloudFormation's short tags: !Ref, !GetAtt, !Sub, !If, and so on."""

from __future__ import annotations

import re
from typing import Any

import yaml

from pipeline.infra.intrinsics import Json

WIDTH = 100_000  # nothing is folded: a line of a statement costs its indentation, and 51,200 bytes are all there is
# Members of policies, statements, roles, metrics, alarms, log groups, parameters, rules, targets, functions, aliases.
_SHORT = {
    *("Statement", "PolicyDocument", "ManagedPolicyArns", "EventPattern", "Rules", "Handler"),
    *("Effect", "MetricStat", "TreatMissingData", "LogGroupName", "AllowedValues", "source", "DeadLetterConfig"),
    "FunctionVersion",
}
_NAMED = ("!Ref", "!GetAtt", "!Condition")
_NAME = re.compile(r"[A-Za-z0-9.]+(::[A-Za-z0-9]+)?")
LISTS = ("If", "Equals", "And", "Or", "Not", "Join")


def dumped(template: Json) -> str:
    """Order is that of construction. What holds no further lists or objects stands on one line; statements do, too."""
    return yaml.dump(
        template, Dumper=_Tagging, sort_keys=False, width=WIDTH, allow_unicode=True, default_flow_style=None
    )


class _Tagging(yaml.SafeDumper):
    """Without anchors: a list that two resources share is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def choose_scalar_style(self) -> str:
        """`!Ref Bucket` instead of `!Ref 'Bucket'`: hundreds of them make a template too long for a call."""
        event = self.event
        if isinstance(event, yaml.ScalarEvent) and event.tag in _NAMED and _NAME.fullmatch(event.value):
            return ""
        return str(super().choose_scalar_style())

    def represent_text(self, data: str) -> yaml.Node:
        """Several lines as they are, for whoever reads them."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    def represent_function(self, data: Json) -> yaml.Node:
        """A function of CloudFormation is an object with one member, which names it."""
        name, value = next(iter(data.items())) if len(data) == 1 else ("", None)
        match name.removeprefix("Fn::"), value:
            case "Ref" | "Sub" as tag, str(text):
                return self.represent_scalar(f"!{tag}", text)
            case "Condition", str(text):
                return self.represent_scalar("!Condition", text)
            case "GetAtt", [str(resource), str(attribute)]:
                return self.represent_scalar("!GetAtt", f"{resource}.{attribute}")
            case tag, list(values) if tag in LISTS and name.startswith("Fn::"):
                return self.represent_sequence(f"!{tag}", values, flow_style=True)
        node = self.represent_dict(data)
        # These read well on a line or two, and the indentation of their members is a tenth of a template.
        node.flow_style = node.flow_style or not _SHORT.isdisjoint(data)
        return node


_Tagging.add_representer(dict, _Tagging.represent_function)
_Tagging.add_representer(str, _Tagging.represent_text)
