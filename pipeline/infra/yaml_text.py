"""A template as YAML with CloudFormation's short tags: !Ref, !GetAtt, !Sub, !If, and so on."""

from __future__ import annotations

from typing import Any

import yaml

from pipeline.infra.intrinsics import Json

WIDTH = 120
LISTS = ("If", "Equals", "And", "Or", "Not", "Join")


def dumped(template: Json) -> str:
    """Order is that of construction; what holds no further lists or objects stands on one line."""
    return yaml.dump(
        template, Dumper=_Tagging, sort_keys=False, width=WIDTH, allow_unicode=True, default_flow_style=None
    )


class _Tagging(yaml.SafeDumper):
    """Without anchors: a list that two resources share is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

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
                return self.represent_sequence(f"!{tag}", values)
        return self.represent_dict(data)


_Tagging.add_representer(dict, _Tagging.represent_function)
