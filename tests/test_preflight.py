"""`darkroom check --aws` over HTTP against moto: a sound account, one defect at a time, and every call at fault."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from api_actions import actions_of
from compilations import remembered
from faulty_session import FaultySession
from moto_account import (
    ACCOUNT,
    AWS_IMAGES,
    BROKEN,
    DENIED,
    EXPIRED,
    LOST,
    PAGE_OF_PROXY,
    REGION,
    THROTTLED,
    Account,
    moto_account,
)

from pipeline.__main__ import main
from pipeline.client import aws_services
from pipeline.config.deploying import ScalingSection, ServerlessSection
from pipeline.definition import Definition
from pipeline.preflight import checking
from pipeline.preflight.finding import Finding
from pipeline.preflight.setting import Setting

READING = ("Get", "List", "Describe", "Head", "BatchGet", "Simulate", "Filter")
BUCKET = f"darkroom-{ACCOUNT}-{REGION}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/darkroom-execution"
DEPLOY = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:darkroom-deploy"
NO_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with moto_account() as made:
        yield made


@pytest.fixture(scope="module")
def service(account: Account) -> Callable[[str], Any]:
    return aws_services(REGION)[0]


@pytest.fixture
def sound(account: Account, service: Callable[[str], Any]) -> Setting:
    account.front.begin()
    return account.setting(service)


def test_in_a_sound_account_everything_is_well(sound: Setting) -> None:
    found = checking.run(sound)
    assert [each for each in found if each.status != "ok"] == []
    without = {"key", "key policy", "network"}  # pipeline.yaml has no key and no VPC: nothing to say
    assert {each.check for each in found} == {"credentials", *(check.name for check in checking.CHECKS)} - without


def test_what_costs_most_when_it_fails_comes_first_among_those_that_are_alike(sound: Setting) -> None:
    order = [each.check for each in checking.run(sound)]
    assert order.index("image") < order.index("quota") < order.index("role") < order.index("bucket")


class Defect(NamedTuple):
    """`breaks` as a context manager gives sections of the configuration that are other; what has to be told then."""

    check: str
    status: str
    said: str
    mend: str
    breaks: Callable[[Account], Any]


@contextmanager
def other(breaks: Callable[[], Any], mends: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    breaks()
    try:
        yield {}
    finally:
        mends()


@contextmanager
def sections(**changed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield changed


def _trust(account: Account, **condition: Any) -> Any:
    """The trust policy of the execution role with another principal or condition."""
    iam, name = account.client("iam"), "darkroom-execution"
    before = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    statement = {**before["Statement"][0], **condition}
    after = {**before, "Statement": [{key: value for key, value in statement.items() if value is not None}]}
    set_ = iam.update_assume_role_policy
    return other(
        lambda: set_(RoleName=name, PolicyDocument=json.dumps(after)),
        lambda: set_(RoleName=name, PolicyDocument=json.dumps(before)),
    )


def _without(account: Account, role: str, action: str) -> Any:
    """The role's policy without one action."""
    iam = account.client("iam")
    user = role == "ann"
    who = {"UserName" if user else "RoleName": role}
    get, put = (iam.get_user_policy, iam.put_user_policy) if user else (iam.get_role_policy, iam.put_role_policy)
    before = json.dumps(get(**who, PolicyName="p")["PolicyDocument"])
    after = before.replace(json.dumps(action), '"sts:GetCallerIdentity"')
    assert after != before
    return other(
        lambda: put(**who, PolicyName="p", PolicyDocument=after),
        lambda: put(**who, PolicyName="p", PolicyDocument=before),
    )


def _attached(account: Account) -> Any:
    iam = account.client("iam")
    made: list[str] = []

    def attach() -> None:
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        policy = iam.create_policy(PolicyName="AmazonSageMakerFullAccess", PolicyDocument=json.dumps(document))
        made.append(policy["Policy"]["Arn"])
        iam.attach_role_policy(RoleName="darkroom-execution", PolicyArn=made[0])

    return other(attach, lambda: iam.detach_role_policy(RoleName="darkroom-execution", PolicyArn=made[0]))


def _quota(account: Account, name: str, value: float | None) -> Any:
    table, before = account.front.quotas, account.front.quotas[name]
    return other(
        lambda: table.pop(name) if value is None else table.update({name: value}), lambda: table.update({name: before})
    )


def _default_quota(account: Account) -> Any:
    """An account without a value of its own has AWS's."""
    name = "ml.m5.xlarge for training job usage"
    front, before = account.front, account.front.quotas[name]

    def breaks() -> None:
        front.quotas.pop(name)
        front.defaults[name] = 0.0

    return other(breaks, lambda: (front.quotas.update({name: before}), front.defaults.clear()))


def _function(account: Account, **changed: Any) -> Any:
    """The function that deploys, made anew with other members; None: not at all."""
    client, name = account.client("lambda"), "darkroom-deploy"
    found = client.get_function_configuration(FunctionName=name)
    package = next(each for each in account.setting(account.client).packages if each.function == name)
    keys = ("FunctionName", "Runtime", "Role", "Handler", "Timeout")
    request = {**{key: found[key] for key in keys}, "Code": {"ZipFile": package.body}}

    def make(wanted: dict[str, Any]) -> None:
        client.delete_function(FunctionName=name)
        client.create_function(**wanted)

    def breaks() -> None:
        if changed:
            make({**request, **changed})
        else:
            client.delete_function(FunctionName=name)

    return other(breaks, lambda: make(request) if changed else client.create_function(**request))


def _image(account: Account, uri: str) -> Any:
    return sections(deploy={"image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{uri}"})


def _foreign_image(account: Account) -> Any:
    shared = account.front.shared
    before = set(shared)
    return other(shared.clear, lambda: shared.update(before))


def _bucket_policy(account: Account) -> Any:
    s3 = account.client("s3")
    before = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    return other(
        lambda: s3.delete_bucket_policy(Bucket=BUCKET), lambda: s3.put_bucket_policy(Bucket=BUCKET, Policy=before)
    )


def _public(account: Account) -> Any:
    s3 = account.client("s3")
    before = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    return other(
        lambda: s3.put_public_access_block(
            Bucket=BUCKET, PublicAccessBlockConfiguration={**before, "BlockPublicPolicy": False}
        ),
        lambda: s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=before),
    )


def _versions(account: Account) -> Any:
    set_ = account.client("s3").put_bucket_versioning
    return other(
        lambda: set_(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}),
        lambda: set_(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}),
    )


def _encryption(account: Account, default: dict[str, str] | None) -> Any:
    s3 = account.client("s3")

    def put(each: dict[str, str]) -> None:
        rule = {"ApplyServerSideEncryptionByDefault": each}
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})

    return other(
        lambda: put(default) if default else s3.delete_bucket_encryption(Bucket=BUCKET),
        lambda: put({"SSEAlgorithm": "AES256"}),
    )


def _elsewhere(account: Account) -> Any:
    s3 = account.client("s3")
    s3.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return sections(pipeline={"bucket": "far-away"})


def _key(account: Account, state: str) -> Any:
    kms = account.client("kms")
    key = kms.create_key()["KeyMetadata"]
    if state == "Disabled":
        kms.disable_key(KeyId=key["KeyId"])
    if state == "PendingDeletion":
        kms.schedule_key_deletion(KeyId=key["KeyId"])
    if state == "Foreign":
        stranger = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999999999999:root"}, "Action": "kms:*"}
        policy = {"Version": "2012-10-17", "Statement": [{**stranger, "Resource": "*"}]}
        kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=json.dumps(policy))
    return sections(security={"kms_key": key["Arn"]})


def _network(account: Account, subnet: str = "", group: str = "", endpoint: bool = True, bits: int = 24) -> Any:
    """A VPC with a subnet, a group and a way to S3; what is given takes the place of what is made."""
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.0.0/{bits}")["Subnet"]["SubnetId"]
    if endpoint:
        ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3")
    own = ec2.create_security_group(VpcId=vpc, GroupName=f"jobs-{vpc}", Description="jobs")["GroupId"]
    foreign = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
    groups = {"": own, "foreign": next(each["GroupId"] for each in foreign if each["VpcId"] != vpc)}
    wanted = {"subnets": (subnet or made,), "security_groups": (groups.get(group, group),)}
    return sections(security={**wanted, "network_isolation": True})


def _off(account: Account) -> Any:
    events = account.client("events")
    return other(lambda: events.disable_rule(Name="approved"), lambda: events.enable_rule(Name="approved"))


def _no_target(account: Account) -> Any:
    events = account.client("events")
    return other(
        lambda: events.remove_targets(Rule="approved", Ids=["deploy"]),
        lambda: events.put_targets(Rule="approved", Targets=[{"Id": "deploy", "Arn": DEPLOY}]),
    )


def _bounded(account: Account, action: str) -> Any:
    bounded = account.front.bounded
    return other(lambda: bounded.add(action), lambda: bounded.discard(action))


@contextmanager
def _closed(account: Account, region: str) -> Iterator[dict[str, Any]]:
    with other(lambda: account.front.closed.add(region), lambda: account.front.closed.discard(region)):
        yield {"pipeline": {"region": region}}


def _foreign_bucket(account: Account) -> Any:
    foreign = account.front.foreign
    return other(lambda: foreign.add(BUCKET), lambda: foreign.discard(BUCKET))


GIB = "ml.m5.xlarge for processing job usage"
DEFECTS = {
    "another account": Defect(
        *("credentials", "error", f"it is 444455556666, and you are arn:aws:iam::{ACCOUNT}:user/ann", "--profile"),
        lambda _: sections(pipeline={"account": "444455556666"}),
    ),
    "nobody's account": Defect(
        *("credentials", "error", "111122223333 is nobody's account", "aws sts get-caller-identity"),
        lambda _: sections(pipeline={"account": "111122223333"}),
    ),
    "another region": Defect(
        *("region", "error", "it is eu-west-1, and other commands would go to us-east-1", "--region eu-west-1"),
        lambda _: sections(pipeline={"region": "eu-west-1"}),
    ),
    "a region that is closed": Defect(
        *("region", "error", "the region is not enabled (not-opted-in)", "aws account enable-region"),
        lambda account: _closed(account, "af-south-1"),
    ),
    "no role": Defect(
        *("role", "error", "there is no such role", "darkroom infra"),
        lambda _: sections(pipeline={"role": f"arn:aws:iam::{ACCOUNT}:role/none"}),
    ),
    "a role of another service": Defect(
        *("role", "error", "does not let sagemaker.amazonaws.com take it", "update-assume-role-policy"),
        lambda account: _trust(account, Principal={"Service": "lambda.amazonaws.com"}),
    ),
    "a role for another account's work": Defect(
        *("role", "error", "does not let sagemaker.amazonaws.com take it", "update-assume-role-policy"),
        lambda account: _trust(account, Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}}),
    ),
    "a role with a condition of its own": Defect(
        *("role", "cannot tell", "conditions that only AWS can judge", "update-assume-role-policy"),
        lambda account: _trust(account, Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
    ),
    "a role that is too wide": Defect(
        *("role", "warning", "AmazonSageMakerFullAccess lets it do far more", "aws iam detach-role-policy"), _attached
    ),
    "a role that may not write": Defect(
        *("rights", "error", "may not s3:PutObject on", "--role-name darkroom-execution --policy-name"),
        lambda account: _without(account, "darkroom-execution", "s3:PutObject"),
    ),
    "a role that may not hand itself on": Defect(
        *("rights", "error", f"may not iam:PassRole on {ROLE}", '"iam:PassedToService": "sagemaker.amazonaws.com"'),
        lambda account: _without(account, "darkroom-execution", "iam:PassRole"),
    ),
    "a boundary": Defect(
        *("rights", "error", "its permissions boundary is in the way", "changed by its owner"),
        lambda account: _bounded(account, "sagemaker:CreateModelPackage"),
    ),
    "a caller who may not hand on the role": Defect(
        *("caller", "warning", f"may not iam:PassRole on {ROLE}, which upsert and start needs", "attach to it"),
        lambda account: _without(account, "ann", "iam:PassRole"),
    ),
    "no bucket": Defect(
        *("bucket", "error", "there is no such bucket", "darkroom infra"),
        lambda _: sections(pipeline={"bucket": "nowhere-to-be-found"}),
    ),
    "a bucket of others": Defect(
        *("bucket", "error", f"it belongs to another account than {ACCOUNT}", "pipeline.bucket"), _foreign_bucket
    ),
    "a bucket far away": Defect(*("bucket", "error", "it lies in eu-west-1", "pipeline.region"), _elsewhere),
    "an open bucket": Defect(
        *("bucket", "warning", "public access is not blocked: BlockPublicPolicy", "put-public-access-block"), _public
    ),
    "a bucket without versions": Defect(
        *("bucket", "warning", "versioning is Suspended", "put-bucket-versioning"), _versions
    ),
    "a bucket without encryption": Defect(
        *("bucket", "warning", "it has no encryption of its own", "put-bucket-encryption"),
        lambda account: _encryption(account, None),
    ),
    "a bucket with a key that nobody may use": Defect(
        *("bucket", "error", "is encrypted with arn:aws:kms:us-east-1:1:key/k", "security.kms_key"),
        lambda account: _encryption(
            account, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:aws:kms:us-east-1:1:key/k"}
        ),
    ),
    "a bucket without TLS": Defect(*("bucket", "warning", "without TLS", "darkroom infra"), _bucket_policy),
    "a key that is off": Defect(
        *("key", "error", "it is Disabled", "aws kms enable-key"), lambda account: _key(account, "Disabled")
    ),
    "a key that goes": Defect(
        *("key", "error", "it is to be deleted", "cancel-key-deletion"),
        lambda account: _key(account, "PendingDeletion"),
    ),
    "no key": Defect(
        *("key", "error", "there is no such key", "security.kms_key"),
        lambda _: sections(
            security={"kms_key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"}
        ),
    ),
    "a key of others": Defect(
        *("key policy", "error", "its policy names neither account", "aws kms get-key-policy"),
        lambda account: _key(account, "Foreign"),
    ),
    "no weights": Defect(
        *("data", "error", "model.weights has no object", "aws s3 sync"),
        lambda _: sections(model={"weights": f"s3://{BUCKET}/none.pth"}),
    ),
    "no serving image": Defect(
        *("image", "error", "the image of deploy.image is not in darkroom-serve", "docker push"),
        lambda account: _image(account, "darkroom-serve:9"),
    ),
    "no repository": Defect(
        *("image", "error", "there is no repository none", "aws ecr create-repository --repository-name none"),
        lambda account: _image(account, "none:1"),
    ),
    "an image of another region": Defect(
        *("image", "warning", "lies in eu-west-1", "us-east-1"),
        lambda _: sections(deploy={"image": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/a:1"}),
    ),
    "an image from elsewhere": Defect(
        *("image", "cannot tell", "outside Amazon's registries", "docker manifest inspect"),
        lambda _: sections(deploy={"image": "ghcr.io/acme/serve:1"}),
    ),
    "an image that AWS does not have": Defect(
        *("image", "error", f"account {AWS_IMAGES} has no such image", "framework_version"), _foreign_image
    ),
    "no function": Defect(*("function", "error", "there is no such function", "make package"), _function),
    "older code": Defect(
        *("function", "error", "it has other code than this checkout (lambda_deploy-", "Functions=present"),
        lambda account: _function(account, Code={"ZipFile": account.setting(account.client).packages[1].body}),
    ),
    "another handler": Defect(
        *("function", "error", "its handler is index.handler, not lambda_deploy.handler", "make package"),
        lambda account: _function(account, Handler="index.handler"),
    ),
    "a function that is cut off": Defect(
        *("function", "warning", "it is cut off after 3 s", "--timeout 480"),
        lambda account: _function(account, Timeout=3),
    ),
    "a function that may not deploy": Defect(
        *("function role", "error", "may not sagemaker:CreateEndpoint on", "darkroom-deploy-lambda"),
        lambda account: _without(account, "darkroom-deploy-lambda", "sagemaker:CreateEndpoint"),
    ),
    "no quota for processing": Defect(
        *("quota", "error", "it is 0; PrepareData takes 1 at once", "request-service-quota-increase"),
        lambda account: _quota(account, GIB, 0.0),
    ),
    "too small a quota for trials": Defect(
        *("quota", "error", "it is 1; TuneModel takes 2 at once", "--desired-value 2"),
        lambda account: _quota(account, "ml.m5.xlarge for training job usage", 1.0),
    ),
    "AWS's own quota, which is none": Defect(
        *("quota", "error", "it is 0; TuneModel takes 2 at once", "--quota-code L-00000000"), _default_quota
    ),
    "too small a quota on all machines": Defect(
        *("quota", "error", "it is 1; TuneModel takes 2 at once", "--desired-value 2"),
        lambda account: _quota(account, "Number of instances across all training jobs", 1.0),
    ),
    "no quota for a second fleet": Defect(
        *("quota", "warning", "an update starts 3 more beside them", "--desired-value 9"),
        lambda account: _quota(account, "ml.m5.large for endpoint usage", 1.0),
    ),
    "a quota that nobody lists": Defect(
        *("quota", "cannot tell", "Service Quotas lists no such quota", "list-service-quotas"),
        lambda account: _quota(account, GIB, None),
    ),
    "no group of models": Defect(
        *("registry", "warning", "there is no such model package group", "create-model-package-group"),
        lambda _: sections(registry={"group": "none"}),
    ),
    "no subnet": Defect(
        *("network", "error", "subnet-0a1b2c3d", "security.subnets"),
        lambda account: _network(account, subnet="subnet-0a1b2c3d"),
    ),
    "no security group": Defect(
        *("network", "error", "sg-0a1b2c3d", "security.security_groups"),
        lambda account: _network(account, group="sg-0a1b2c3d"),
    ),
    "a group of another VPC": Defect(
        *("network", "error", "the VPC of the subnets", "groups of that VPC"),
        lambda account: _network(account, group="foreign"),
    ),
    "no way to S3": Defect(
        *("network", "warning", "it has no endpoint for S3", "aws ec2 create-vpc-endpoint"),
        lambda account: _network(account, endpoint=False),
    ),
    "no stack": Defect(
        *("stack", "warning", "there is no stack of that name", "aws cloudformation deploy"),
        lambda _: sections(pipeline={"name": "another"}),
    ),
    "a rule that is off": Defect(*("approvals", "warning", "it is off", "aws events enable-rule"), _off),
    "no rule": Defect(*("approvals", "warning", "an approval deploys nothing", "darkroom infra"), _no_target),
}


def asked(setting: Setting, name: str) -> list[Finding]:
    """What only the checks of this name say, and whose account it is."""
    return checking.run(setting, [check for check in checking.CHECKS if check.name == name])


@pytest.mark.parametrize("name", DEFECTS)
def test_one_defect_is_found_with_what_to_type_next(account: Account, service: Callable[[str], Any], name: str) -> None:
    defect = DEFECTS[name]
    account.front.begin()
    with defect.breaks(account) as changed:
        found = asked(account.setting(service, **changed), defect.check)
    told = [each for each in found if each.check == defect.check and each.status == defect.status]
    assert any(defect.said in f"{each.subject}: {each.message}" and defect.mend in each.mend for each in told), found
    assert all(each.mend for each in found if each.status != "ok")


def test_the_defects_leave_the_account_as_it_was(sound: Setting) -> None:
    assert [each for each in checking.run(sound) if each.status != "ok"] == []


def test_a_network_that_has_all_is_well(account: Account, service: Callable[[str], Any]) -> None:
    with _network(account) as changed:
        found = asked(account.setting(service, **changed), "network")
    assert [each.status for each in found if each.check == "network"] == ["ok"] * 3


def test_a_subnet_without_addresses_for_all_machines_is_told(account: Account, service: Callable[[str], Any]) -> None:
    """A /28 has eleven."""
    with _network(account, bits=28) as changed:
        setting = account.setting(service, {"TrainingInstanceCount": "12"}, **changed)
        told = [each.message for each in asked(setting, "network") if each.status == "error"]
    assert any("11 addresses are free, and 24 machines run at once" in each for each in told)
    assert any("talk to each other" in each for each in told)


def test_parameters_in_use_decide_what_quotas_are_needed(account: Account, service: Callable[[str], Any]) -> None:
    given = {"TrainingInstanceType": "ml.m5.large", "TrainingInstanceCount": "3", "MaxParallelTuningJobs": "11"}
    found = asked(account.setting(service, given), "quota")
    said = {each.subject: each.message for each in found}
    assert "TuneModel takes 33 at once" in said["ml.m5.large for training job usage"]
    assert said["Number of instances across all training jobs"] == "it is 4; TuneModel takes 33 at once"
    assert said["parallel training jobs of a tuning job"] == "it is 10; TuneModel runs 11 at once"


@pytest.mark.parametrize(
    ("deploy", "said"),
    [
        ({"scaling": None}, "an update starts 1 more beside them"),
        ({"scaling": ScalingSection(max=5), "instance_count": 2}, "scaling makes up to 5 of them, an update starts 5"),
        ({"serverless": ServerlessSection()}, ""),
    ],
)
def test_quotas_of_endpoints_are_counted_for_what_scaling_may_make_of_them(
    account: Account, service: Callable[[str], Any], deploy: dict[str, Any], said: str
) -> None:
    with _quota(account, "ml.m5.large for endpoint usage", 2.0):
        found = asked(account.setting(service, deploy=deploy), "quota")
    told = [each.message for each in found if each.subject == "ml.m5.large for endpoint usage"]
    assert [said in each for each in told] == ([True] if said else [])


def test_spare_capacity_has_a_quota_of_its_own(account: Account, service: Callable[[str], Any]) -> None:
    text = json.dumps(account.definition.document).replace(
        '"EnableManagedSpotTraining": false', '"EnableManagedSpotTraining": true'
    )
    found = asked(replace(account.setting(service), definition=Definition.parse(text)), "quota")
    named = {each.subject for each in found}
    assert "ml.m5.xlarge for spot training job usage" in named
    assert "ml.m5.xlarge for training job usage" not in named


def test_credentials_that_aws_does_not_know_end_it_with_one_error(account: Account, sound: Setting) -> None:
    account.front.begin(lambda operation, number: EXPIRED)
    first, rest = checking.run(sound)
    assert (first.status, first.check, rest.status) == ("error", "credentials", "cannot tell")
    assert "sign in again" in first.mend
    assert len(account.front.calls) == 1


@pytest.mark.parametrize(("operation", "check"), [("GetRole", "role"), ("GetBucketLocation", "bucket")])
def test_an_answer_that_is_no_answer_of_aws_ends_the_check_alone(
    account: Account, sound: Setting, operation: str, check: str
) -> None:
    """Proxies answer with pages of their own, which botocore reads in two places."""
    account.front.begin(lambda asked, number: PAGE_OF_PROXY if asked == operation else "")
    found = [each for each in checking.run(sound) if each.status != "ok"]
    assert [each.check for each in found] == [check]
    assert f"{operation} got no answer" in found[0].message
    account.front.begin()


def _calls(account: Account, setting: Setting) -> list[tuple[str, str]]:
    account.front.begin()
    checking.run(setting)
    return list(account.front.calls)


@pytest.fixture(scope="module")
def everything(account: Account, service: Callable[[str], Any]) -> Setting:
    """With a key, a VPC and weights, so that every check has something to ask."""
    account.front.begin()
    account.client("s3").create_bucket(Bucket="weights")
    account.client("s3").put_object(Bucket="weights", Key="resnet.pth", Body=b"w")
    model = {"weights": "s3://weights/resnet.pth"}
    with _key(account, "Enabled") as key, _network(account) as network:
        return account.setting(service, security={**key["security"], **network["security"]}, model=model)


def test_every_call_reads_and_none_of_them_changes_anything(account: Account, everything: Setting) -> None:
    operations = {operation for _, operation in _calls(account, everything)}
    assert len(operations) == 29
    assert [each for each in operations if not each.startswith(READING)] == []


def test_the_role_for_it_may_do_what_it_asks_and_nothing_else(account: Account, everything: Setting) -> None:
    calls = _calls(account, everything)
    asked = {action for service, operation in calls for action in actions_of(service, operation)}
    (role,) = everything.roles_of("check")
    granted = {action for statement in role.statements for action in statement.actions}
    assert granted - asked == {"servicequotas:ListAWSDefaultServiceQuotas"}  # only where a quota is in no other list
    assert asked - granted == set()


SAID = {THROTTLED: "was throttled", BROKEN: "broke in AWS", LOST: "got no answer", DENIED: "not allowed to"}


def _with(account: Account, setting: Setting, check: checking.Check, operation: str, fault: str) -> Finding:
    """What a check says of one of its calls that is at fault."""
    account.front.begin(lambda asked, _: fault if asked == operation else "")
    found = [each for each in checking.run(setting, [check]) if each.check == check.name]
    account.front.begin()
    (told,) = [each for each in found if each.status == "cannot tell"]
    head = operation.startswith("Head") and fault == THROTTLED  # a status alone: 503
    assert SAID[BROKEN if head else fault] in told.message, told
    assert told.mend, told
    return told


def test_each_call_at_fault_ends_its_check_and_says_so(account: Account, everything: Setting) -> None:
    """In turn throttled, broken and lost; each one denied besides, which names action and statement."""
    turns = cycle((THROTTLED, BROKEN, LOST))
    for check in checking.CHECKS:
        account.front.begin()
        list(check.asks(everything))
        for operation in sorted({operation for _, operation in account.front.calls}):
            if operation == "GetCallerIdentity":
                continue  # it has a test of its own, and no policy can deny it
            _with(account, everything, check, operation, next(turns))
            denied = _with(account, everything, check, operation, DENIED)
            action = re.search(r"not allowed to ([a-z0-9]+:[A-Za-z]+)", denied.message)
            assert action, denied
            assert f'"Action": "{action[1]}"' in denied.mend, denied


def test_a_fault_in_one_check_leaves_the_others_as_they_are(account: Account, everything: Setting) -> None:
    account.front.begin()
    sound = checking.run(everything)
    for fault, operation in ((DENIED, "SimulatePrincipalPolicy"), (LOST, "GetCallerIdentity")):
        account.front.begin(lambda asked, _, operation=operation, fault=fault: fault if asked == operation else "")  # type: ignore[misc]
        found = checking.run(everything)
        lost = {each.check for each in found if each.status == "cannot tell"}
        assert lost == {check for check in lost if check in ("rights", "function role", "caller", "credentials")}
        assert [each for each in found if each.check not in lost] == [each for each in sound if each.check not in lost]
    account.front.begin()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline.yaml for this account; compiling it is remembered."""
    here = tmp_path_factory.mktemp("checked")
    (here / "pipeline.yaml").write_text(json.dumps({"pipeline": {"account": ACCOUNT}}))
    remembered(here / "pipeline.yaml", here / "home")
    return here


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(account: Account, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Run:
    monkeypatch.setenv("DARKROOM_HOME", str(folder / "home"))
    account.front.begin()

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["check", "-c", str(folder / "pipeline.yaml"), *words])
        return (code, *capsys.readouterr())

    return run


def test_the_command_tells_each_finding_and_ends_in_0_where_nothing_is_wrong(check: Run) -> None:
    code, out, err = check("--aws")
    assert code == 0
    assert out.startswith("ok           credentials    arn:aws:iam::123456789012:user/ann: account 123456789012\n")
    assert err.splitlines()[-1] == f"{len(out.splitlines())} ok"


def test_as_json_it_is_a_list_and_an_error_ends_in_1(check: Run) -> None:
    code, out, _ = check("--aws", "--json", "--set", "ProcessingInstanceType=ml.c5.xlarge")
    found = json.loads(out)
    assert (code, {tuple(each) for each in found}) == (0, {("Check", "Status", "Subject", "Message", "Mend")})
    assert [each["Subject"] for each in found if each["Status"] != "ok"] == ["ml.c5.xlarge for processing job usage"]
    code, out, _ = check("--aws", "--json", "--set", "TrainingInstanceCount=9")
    assert code == 1
    assert json.loads(out)[0]["Status"] == "error"


def test_the_credentials_that_it_uses_are_nowhere(check: Run, account: Account, monkeypatch: Any, folder: Path) -> None:
    """As tests/test_secrets.py has it of the other commands; moto takes any."""
    secret, token = "wJalr+SECRET+of/this+test+alone+9876543210", "FwoGZXIvYXdzTOKENofThisTestAlone9876543210"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    said = "".join(check("--aws")[1:])
    for fault in (DENIED, PAGE_OF_PROXY):
        account.front.begin(lambda operation, _, fault=fault: fault)  # type: ignore[misc]
        said += "".join(check("--aws", "--json")[1:])
    assert len(said) > 10_000
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert [each for each in (secret, token) if each in said or any(each.encode() in text for text in kept)] == []


@pytest.fixture
def kept(account: Account, folder: Path, monkeypatch: pytest.MonkeyPatch) -> FaultySession:
    """What boto3 has made once is taken again, and between two attempts nobody waits."""
    monkeypatch.setenv("DARKROOM_HOME", str(folder / "home"))
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))
    account.front.begin()
    return FaultySession(account.url, os.environ["AWS_ACCESS_KEY_ID"])


def fault_in(account: Account, session: FaultySession, fault: str, failing: Callable[[int], bool]) -> None:
    """A connection breaks before anything is sent; refusals are the account's."""
    account.front.begin(lambda _, number: fault if fault != LOST and failing(number) else "")
    session.begin(lambda _, number: LOST if fault == LOST and failing(number) else "")


def test_the_command_outlasts_each_call_at_fault(
    account: Account, folder: Path, kept: FaultySession, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Once: each call fails at its first attempt, and nothing is told of it. For ever: from the first call on, or that
    of every sixth operation, nothing is answered, and what cannot be told is told as such; the test above has each."""
    words = ["check", "--aws", "--json", "-c", str(folder / "pipeline.yaml")]
    assert main(words, kept) == 0
    sound, calls = capsys.readouterr().out, list(kept.calls)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    for fault in (THROTTLED, BROKEN, LOST):
        fault_in(account, kept, fault, lambda number: number % 2 == 1)
        assert (main(words, kept), capsys.readouterr().out) == (0, sound), fault
        assert len(kept.calls) == 2 * len(calls)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    firsts = sorted({operation: number for number, operation in reversed(list(enumerate(calls, 1)))}.values())
    for number, fault in zip(firsts[::6], cycle((THROTTLED, BROKEN, LOST)), strict=False):
        fault_in(account, kept, fault, lambda count, at=number: count >= at)  # type: ignore[misc]
        code = main(words, kept)
        found = json.loads(capsys.readouterr().out)
        untold = [each for each in found if each["Status"] == "cannot tell"]
        assert untold and all(each["Mend"] for each in untold), (number, fault)
        assert code == (1 if number == 1 else 0), (number, fault, found)
    account.front.begin()


def test_where_nobody_knows_who_asks_it_ends_in_1(check: Run, account: Account) -> None:
    account.front.begin(lambda operation, _: LOST if operation == "GetCallerIdentity" else "")
    assert check("--aws")[0] == 1


def test_without_aws_it_is_usage_and_a_parameter_that_is_not_there_is_told(check: Run) -> None:
    code, out, err = check()
    assert (code, out) == (2, "")
    assert "check --aws" in err
    code, _, err = check("--aws", "--set", "Nothing=1")
    assert (code, "there is no parameter 'Nothing'" in err) == (1, True)
