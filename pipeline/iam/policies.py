"""Config and compiled definition → every role of a pipeline, with its trust policy and its policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.config import Config
from pipeline.definition import Definition
from pipeline.iam import approving, ci, execution, functions, looking, trust
from pipeline.iam.scope import Scope, within
from pipeline.iam.statements import Document, Statement, packed, policy

KINDS = ("execution", "ci-plan", "ci-deploy", "deploy-lambda", "champion-lambda", "invoke-lambda", "approver", "check")
LONGEST_NAME = 128  # of a policy, in IAM
_ASKED = ("execution", "deploy-lambda", "champion-lambda")  # roles that `darkroom check` asks about
_NOBODY: Mapping[str, trust.Subject] = {}


@dataclass(frozen=True)
class Role:
    """`kind` is one of KINDS; several are of kind execution where pipeline.yaml names roles of steps.

    `trust` is None for a role of CI whose subject nobody has told yet, and for that of people, whose is theirs to say.
    """

    kind: str
    arn: str
    purpose: str
    trust: Document | None
    statements: tuple[Statement, ...]
    pipeline: str

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    def document(self) -> Document:
        """Everything in one, for an inline policy; IAM takes statements.INLINE_SIZE characters of it."""
        return policy(self.statements)

    def policies(self) -> dict[str, Document]:
        """Name → document, each small enough for a managed policy."""
        name = f"{self.pipeline}-{self.name}"[: LONGEST_NAME - 3].rstrip("-")
        return {f"{name}-{number}": each for number, each in enumerate(packed(self.statements), 1)}


def roles(
    config: Config,
    definition: Definition,
    reads: Iterable[str] = (),
    subjects: Mapping[str, trust.Subject] = _NOBODY,
) -> tuple[Role, ...]:
    """`reads`: scope.address() of what jobs read beside the definition's own; `subjects`: ci-plan, ci-deploy → OIDC's.

    Raises DefinitionError for a definition whose addresses or step types no policy can name.
    """
    scope = Scope(config, definition, tuple(reads))
    found = (*_of_sagemaker(scope), *_of_ci(scope, subjects), *_of_functions(scope))
    return (*found, *_of_people(scope, found))


def _of_sagemaker(scope: Scope) -> Iterable[Role]:
    own = scope.config.pipeline.role_arn
    for arn in dict.fromkeys((own, *scope.job_roles, scope.serving_role)):
        purposes = [*(["the pipeline"] if arn == own else []), *(step.name for step in scope.steps_of(arn))]
        statements = [*(execution.running(scope) if arn == own else []), *execution.working(scope, arn)]
        if arn == scope.serving_role:
            purposes.append("the model behind the endpoint")
            statements += execution.serving(scope)
        yield _role(scope, "execution", arn, ", ".join(purposes), trust.of_sagemaker(scope.place), statements)


def _of_ci(scope: Scope, subjects: Mapping[str, trust.Subject]) -> Iterable[Role]:
    work = {
        "ci-plan": ("pull requests: it looks and changes nothing", ci.planning),
        "ci-deploy": ("the main branch: upsert, start, follow", ci.deploying),
    }
    for kind, (purpose, statements) in work.items():
        subject = subjects.get(kind)
        trusted = None if subject is None else trust.of_github(scope.place, subject)
        yield _role(scope, kind, _named(scope, kind), purpose, trusted, statements(scope))


def _of_functions(scope: Scope) -> Iterable[Role]:
    work = {
        "deploy-lambda": ("the function behind DeployModel", functions.deploying),
        "champion-lambda": ("the function behind FindChampion", functions.finding),
        "invoke-lambda": ("a function that asks the endpoint", functions.invoking),
    }
    for kind, (purpose, statements) in work.items():
        if kind != "champion-lambda" or scope.config.evaluation.compare_with_champion:
            yield _role(scope, kind, _named(scope, kind), purpose, trust.of_lambda(), statements(scope))


def _of_people(scope: Scope, others: Iterable[Role]) -> Iterable[Role]:
    """Who decides about models; who asks about the roles that work, and about itself."""
    deciding = "whoever approves and rejects models: it reads what was made of them, and decides"
    yield _role(scope, "approver", _named(scope, "approver"), deciding, None, approving.approving(scope))
    arn = _named(scope, "check")
    asked = (*(role.arn for role in others if role.kind in _ASKED), arn)
    purpose = "whoever asks darkroom check: it looks and changes nothing"
    yield _role(scope, "check", arn, purpose, None, looking.checking(scope, tuple(dict.fromkeys(asked))))


def _named(scope: Scope, kind: str) -> str:
    return f"arn:{scope.place.partition}:iam::{scope.place.account}:role/darkroom-{kind}"


def _role(
    scope: Scope, kind: str, arn: str, purpose: str, trusted: Document | None, statements: Sequence[Statement]
) -> Role:
    return Role(kind, arn, purpose, trusted, _merged(statements), scope.config.pipeline.name)


def _merged(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Statements of the same name that one can stand for become one; the others are numbered."""
    found: list[Statement] = []
    for each in statements:
        for number, known in enumerate(found):
            if (one := _one(known, each)) is not None:
                found[number] = one
                break
        else:
            found.append(each)
    taken: dict[str, int] = {}
    for number, each in enumerate(found):
        taken[each.sid] = taken.get(each.sid, 0) + 1
        if taken[each.sid] > 1:
            found[number] = replace(each, sid=f"{each.sid}{taken[each.sid]}")
    return tuple(found)


def _one(first: Statement, second: Statement) -> Statement | None:
    """Both in one, where they differ in resources alone, or in the values of one condition alone."""
    if (first.sid, first.actions) != (second.sid, second.actions):
        return None
    if first.conditions == second.conditions:
        return replace(first, resources=within((*first.resources, *second.resources)))
    if first.resources != second.resources:
        return None
    match first.conditions, second.conditions:
        case ({**these}, {**those}) if len(these) == len(those) == 1 and [*these] == [*those]:
            (operator, one), other = next(iter(these.items())), next(iter(those.values()))
            if len(one) == len(other) == 1 and [*one] == [*other]:
                key, values = next(iter(one.items()))
                both = list(within((*values, *other[key])))
                return replace(first, conditions={operator: {key: both}})
    return None


def as_json(role: Role) -> dict[str, Any]:
    """As `darkroom iam --json` prints it."""
    return {
        "Role": role.kind,
        "RoleArn": role.arn,
        "RoleName": role.name,
        "Purpose": role.purpose,
        "TrustPolicy": role.trust,
        "Policies": [{"PolicyName": name, "PolicyDocument": document} for name, document in role.policies().items()],
    }
