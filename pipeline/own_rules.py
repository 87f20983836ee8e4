"""health.own_rules: somebody's own rules, one file each, looked at without running them."""

from __future__ import annotations

import os

from pipeline.errors import ConfigError, DarkroomError
from pipeline.model_files import located
from pipeline.own_network import LONGEST, compile_source, modules, quiet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OWN_RULES = "rules"  # folder in own/ of train.py's archive
_HINT = (
    "the file has a function rule(records) that returns whether there is an issue; a relative path starts at {folder}"
)


def read(sources: Sequence[str], config: str, root: str) -> dict[str, bytes]:
    """The files `sources`, as the file `config` names them: name → content; no two have the same name.

    `root`: the folder of the entry points, whose modules a rule may import. Raises ConfigError with every reason why
    one cannot be sent to train.py.
    """
    files, problems = {}, []
    for index, source in enumerate(sources):
        try:
            with quiet():
                body = _content(source, config)
                files[os.path.basename(source)] = body
                found = list(_problems(located(source, config), body, root))
        except DarkroomError as exc:
            found = [exc.message]
        problems += [f'health.own_rules[{index}]: "{source}": {says}' for says in found]
    if problems:
        folder, name = os.path.split(config)
        raise ConfigError(name, problems, _HINT.format(folder=folder))
    return files


def beside(network: Mapping[str, bytes], rules: Mapping[str, bytes]) -> dict[str, bytes]:
    """What lies in own/ of train.py's archive. Raises DarkroomError where the network has a file of a rule's name."""
    placed = {f"{OWN_RULES}/{name}": body for name, body in rules.items()}
    if taken := network.keys() & placed.keys():
        problem = f"model.file brings {', '.join(sorted(taken))} along, where health.own_rules belong"
        raise DarkroomError(problem, f"rename the network's package {OWN_RULES}")
    return {**network, **placed}


def unchanged(sources: Sequence[str], known: Mapping[str, str], config: str) -> bool:
    """Whether the files are what was read: `known` holds the digest of each by its name."""
    try:
        with quiet():
            return digests({os.path.basename(source): _content(source, config) for source in sources}) == known
    except DarkroomError:
        return False  # whoever compiles says what is wrong


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    from pipeline import source

    return {name: source.digest({name: body}) for name, body in files.items()}


def _content(source: str, config: str) -> bytes:
    path = located(source, config)
    if not os.path.isfile(path):
        raise DarkroomError("is a folder, not a file" if os.path.isdir(path) else f"does not exist; looked for {path}")
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as exc:
        raise DarkroomError(f"{path} cannot be read: {exc.strerror}") from exc


def _problems(path: str, body: bytes, root: str) -> Iterator[str]:
    import ast
    import symtable
    from importlib.util import decode_source

    from pipeline.source import imported

    name = os.path.basename(path)
    compile_source(name, body)
    table = symtable.symtable(decode_source(body), name, "exec")
    found = table.lookup("rule") if "rule" in table.get_identifiers() else None
    if found is None or not (found.is_assigned() or found.is_imported()):
        yield f"{name} has no function rule: write def rule(records) -> tuple[bool, str]"
    if len(name) > LONGEST:
        yield f"the name is too long for train.py's archive: {LONGEST} bytes at most"
    tops = {module.partition(".")[0] for module in imported(ast.parse(body), name)}
    for top in sorted(tops - modules(root)):
        beside = os.path.join(os.path.dirname(path), top)
        if os.path.isfile(f"{beside}.py") or os.path.isfile(os.path.join(beside, "__init__.py")):
            yield f"{name} imports {top}, which lies beside it: a rule is one file, write it in there"
