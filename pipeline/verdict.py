"""A validation that is remembered: a definition that was found clean is never checked twice by the same validator."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

from pipeline.digest import sha256_hex
from pipeline.whole_file import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.validate.finding import Finding

_HERE = os.path.dirname(os.path.abspath(__file__))
RULES = os.path.join(_HERE, "validate")
BESIDE = ("api_model.py", "cache_keys.py", "request_sizes.py", "wording.py")  # what rules go by, outside of RULES
SERVICE_MODEL = os.path.join("botocore", "data", "sagemaker", "2017-07-24", "service-2.json")


def check(definition_text: str | bytes, home: str) -> list[Finding]:
    """All findings. Only a verdict without errors is remembered, in `<home>/verdicts/`; its warnings are told again."""
    text = definition_text.encode() if isinstance(definition_text, str) else definition_text
    path = os.path.join(home, "verdicts", sha256_hex(text + b"\0" + _identity()))
    remembered = _recall(path)
    if remembered is not None:
        return remembered
    findings = _validate(text)
    if all(finding.severity != "error" for finding in findings):
        _remember(path, findings)
    return findings


def refuse(definition_text: str | bytes, home: str, subject: str = "") -> None:
    """Raises DefinitionError with every error at once; warnings pass. `subject`: what `darkroom validate` takes."""
    errors = [finding for finding in check(definition_text, home) if finding.severity == "error"]
    if errors:
        from pipeline.errors import DefinitionError
        from pipeline.wording import count

        lines = "".join(f"\n  {finding}" for finding in errors)
        problem = f"the definition has {count(len(errors), 'error')}:{lines}"
        raise DefinitionError(problem, f"darkroom validate {subject}".rstrip())


def _validate(text: bytes) -> list[Finding]:
    from pipeline.validate import Finding, validate

    try:
        document = json.loads(text)
    except RecursionError:
        return [Finding("", "$", "the document nests too deep to be read", "flatten it")]
    except ValueError as exc:
        return [Finding("", "$", f"the definition is not JSON: {exc}", "darkroom compile -o definition.json")]
    return validate(document)


def _identity() -> bytes:
    """Changes whenever the rules or botocore's model may have: names, sizes and times of their files."""
    rules = [os.path.join(RULES, name) for name in sorted(os.listdir(RULES)) if name.endswith(".py")]
    return "\n".join([*map(_stamp, (*rules, *(os.path.join(_HERE, name) for name in BESIDE))), _model_stamp()]).encode()


def _stamp(path: str) -> str:
    """Raises OSError."""
    status = os.stat(path)
    return f"{os.path.basename(path)} {status.st_size} {status.st_mtime_ns}"


def _model_stamp() -> str:
    """Of the model that an import of botocore would find, without the import (110 ms)."""
    for folder in sys.path:
        for suffix in (".gz", ""):
            with suppress(OSError):  # it is in another folder, or has the other ending
                return _stamp(os.path.join(folder or ".", SERVICE_MODEL + suffix))
    return ""


def _recall(path: str) -> list[Finding] | None:
    try:
        with open(path, "rb") as file:
            body = file.read()
    except OSError:
        return None
    if body == b"[]":  # clean without warnings: the one that the start of a run meets, and it needs no further import
        return []
    from pipeline.validate.finding import Finding

    try:
        return [Finding(**item) for item in json.loads(body)]
    except (ValueError, TypeError):
        return None  # torn by a full disk or a kill: check again


def _remember(path: str, findings: list[Finding]) -> None:
    """Two runs at once never read half a verdict. Not remembering is no error."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with whole(path) as aside, open(aside, "w", encoding="utf-8") as file:
            json.dump([finding.as_dict() for finding in findings], file)
    except OSError:
        return
