"""CloudFormation in small: reads a template's short tags, and says what is left of it for given parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

NOTHING = object()
PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::NoValue": NOTHING,
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "darkroom",
}


class Loader(yaml.SafeLoader):
    """!Ref a → {"Ref": "a"}, !GetAtt a.b → {"Fn::GetAtt": ["a", "b"]}, !If [a, b, c] → {"Fn::If": ["a", "b", "c"]}"""

    def function(self, suffix: str, node: yaml.Node) -> dict[str, Any]:
        if isinstance(node, yaml.SequenceNode):
            return {f"Fn::{suffix}": self.construct_sequence(node, deep=True)}
        text = self.construct_scalar(node)
        if suffix == "GetAtt":
            return {"Fn::GetAtt": text.split(".")}
        return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": text}


Loader.add_multi_constructor("!", Loader.function)


def read(text: str) -> dict[str, Any]:
    found = yaml.load(text, Loader=Loader)
    assert isinstance(found, dict)
    return found


class Stack:
    """What a template makes of `given` parameters: `resources` with every condition decided."""

    def __init__(self, template: dict[str, Any], **given: str) -> None:
        self.template = template
        self.values = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()} | given
        self.resources = self._there("Resources")
        self.outputs = self._there("Outputs")

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties by logical name."""
        return {name: each["Properties"] for name, each in self.resources.items() if each["Type"] == kind}

    def _there(self, section: str) -> dict[str, Any]:
        return {
            name: self.decided({key: value for key, value in each.items() if key != "Condition"})
            for name, each in self.template[section].items()
            if "Condition" not in each or self.holds({"Condition": each["Condition"]})
        }

    def holds(self, condition: dict[str, Any]) -> bool:
        match condition:
            case {"Condition": str(name)}:
                return self.holds(self.template["Conditions"][name])
            case {"Fn::Equals": [left, right]}:
                return bool(self._text(left) == self._text(right))
            case {"Fn::Not": [inner]}:
                return not self.holds(inner)
            case {"Fn::And": list(all_of)}:
                return all(map(self.holds, all_of))
            case {"Fn::Or": list(any_of)}:
                return any(map(self.holds, any_of))
        raise AssertionError(f"{condition} is no condition")

    def _text(self, value: Any) -> str:
        match value:
            case {"Ref": str(parameter)}:
                return self.values[parameter]
            case {"Fn::Join": ["", {"Ref": str(parameter)}]}:
                return self.values[parameter].replace(",", "")
        return str(value)

    def decided(self, value: Any) -> Any:
        """Without Fn::If and AWS::NoValue; parameters have their values, references to resources stay."""
        match value:
            case {"Fn::If": [str(name), yes, no]}:
                return self.decided(yes if self.holds({"Condition": name}) else no)
            case {"Ref": str(name)} if name in PSEUDO or name in self.values:
                return PSEUDO.get(name, self.values.get(name))
            case dict():
                pairs = ((key, self.decided(each)) for key, each in value.items())
                return {key: each for key, each in pairs if each is not NOTHING}
            case list():
                return [each for each in map(self.decided, value) if each is not NOTHING]
        return value


def referred(value: Any) -> Iterator[str]:
    """Logical names in Ref, Fn::GetAtt and Fn::Sub."""
    match value:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": [str(name), _]}:
            yield name
        case {"Fn::Sub": str(text)}:
            yield from (part.partition("}")[0] for part in text.split("${")[1:])
        case dict():
            for each in value.values():
                yield from referred(each)
        case list():
            for each in value:
                yield from referred(each)
