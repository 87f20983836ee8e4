"""Who asks, of which account, and whether the region is one that this account may use."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import ServiceError
from pipeline.preflight.finding import Finding, error, ok, warning
from pipeline.preflight.setting import NOBODY, Setting

_OPEN = ("opt-in-not-required", "opted-in")


def identity(setting: Setting) -> Iterator[Finding]:
    """STS answers whoever has credentials: no policy can deny it."""
    if setting.account == NOBODY:
        yours = f"write yours to pipeline.account in {setting.file}: aws sts get-caller-identity --query Account"
        yield error("pipeline.account", f"{NOBODY} is nobody's account", yours)
    who = setting.service("sts").ask("get_caller_identity")
    account, arn = str(who["Account"]), str(who["Arn"])
    if setting.account == NOBODY:
        yield ok(arn, f"account {account}")
    elif account != setting.account:
        yield error(
            "pipeline.account",
            f"it is {setting.account}, and you are {arn}, of account {account}",
            f'name the other account\'s profile with --profile, or write pipeline.account: "{account}"',
        )
    elif arn.endswith(":root"):
        yield warning(arn, "the root user may do everything", "sign in as a role with no more than it needs")
    else:
        yield ok(arn, f"account {account}")


def region(setting: Setting) -> Iterator[Finding]:
    wanted = setting.config.pipeline.region
    if not setting.region:
        yield warning(wanted, "no region is set: other commands will ask for one", f"export AWS_REGION={wanted}")
    elif setting.region != wanted:
        yield error(
            "pipeline.region",
            f"it is {wanted}, and other commands would go to {setting.region}",
            f"add --region {wanted}, or write pipeline.region: {setting.region} to {setting.file}",
        )
    try:
        answer = setting.service("ec2").ask("describe_regions", RegionNames=[wanted], AllRegions=True)
    except ServiceError as exc:
        if exc.code not in ("InvalidParameterValue", "InvalidRegionName"):
            raise
        yield error(wanted, f"AWS knows no such region: {exc.message}", "mend pipeline.region")
        return
    status = next((str(row.get("OptInStatus")) for row in answer.get("Regions", ())), "unknown")
    if status in _OPEN:
        yield ok(wanted, f"the region is enabled ({status})")
    else:
        yield error(
            wanted, f"the region is not enabled ({status})", f"aws account enable-region --region-name {wanted}"
        )
