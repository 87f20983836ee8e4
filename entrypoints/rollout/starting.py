"""What begins: a deployment, or the way back to the good one before. Both return within a minute."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from rollout import alarms, golden, made, record, updating
from rollout.account import Account, DeployRefused
from rollout.asking import Asked
from rollout.record import Record


def start(account: Account, asked: Asked) -> dict[str, str]:
    """Creates the endpoint, updates it, or finds that this was done: names and where it stands."""
    live = account.endpoint(asked.endpoint)
    known = record.read(account, live)
    if asked.at < known.at:
        return told(asked.endpoint, live, known, phase="superseded")
    package = made.package_of(account, asked.package)
    wanted = made.requests(package, asked)
    after = _after(known, live, wanted.name, asked)
    if live is not None and _is_done(known, after, updating.target(live)):
        if after.at != known.at:
            known = record.write(account, live, known.but(at=after.at))
        return told(asked.endpoint, live, known, model=wanted.model["ModelName"])
    _refuse(live, wanted.name, known)
    if asked.smoke_test:
        golden.pictures(account, package)
    made.ensure_both(account, wanted, asked)
    if "ServerlessConfig" not in wanted.variant:
        alarms.ensure(account, asked.endpoint, wanted.name, asked.alarms)
    live, known = _point(account, asked.endpoint, live, after.but(phase=record.ASKING, reason=""))
    return told(asked.endpoint, live, known, model=wanted.model["ModelName"])


def rollback(account: Account, endpoint: str, at: str) -> dict[str, str]:
    """Back to the good configuration before the last good one; once, for that one has none before it any more."""
    live = account.endpoint(endpoint)
    known = record.read(account, live)
    if live is None or not known.asked:
        raise DeployRefused(f"endpoint {endpoint!r} does not exist, or was not deployed by this function")
    if at < known.at:
        return told(endpoint, live, known, phase="superseded")
    if known.phase == record.LEAVING:
        raise DeployRefused(f"endpoint {endpoint!r} is being deleted: there is no way back any more")
    if not known.before:
        raise DeployRefused(f"endpoint {endpoint!r} has no earlier good deployment to go back to")
    if live["EndpointStatus"] != "InService":
        raise DeployRefused(f"endpoint {endpoint!r} is {live['EndpointStatus']}: go back when it is in service")
    if not account.variant(known.before):
        raise DeployRefused(f"the endpoint configuration {known.before!r} was deleted: deploy its model again")
    asked = known.but(asked=known.before, at=at, phase=record.ASKING, reason="")
    live, known = _point(account, endpoint, live, asked)
    return told(endpoint, live, known)


def resume(account: Account, endpoint: str, live: dict[str, Any], known: Record) -> dict[str, str]:
    """What was asked for, and not sent before its invocation ended."""
    live, known = _point(account, endpoint, live, known)
    return told(endpoint, live, known)


def told(
    endpoint: str, live: dict[str, Any] | None, known: Record, *, phase: str = "", model: str = ""
) -> dict[str, str]:
    """What every action answers: texts alone, as a Lambda step takes them."""
    return {
        "endpoint_name": endpoint,
        "endpoint_config_name": known.asked,
        **({"model_name": model} if model else {}),
        "status": str(live["EndpointStatus"]) if live else "",
        "phase": phase or known.phase,
        "reason": known.reason,
    }


def _after(known: Record, live: dict[str, Any] | None, config: str, asked: Asked) -> Record:
    """An endpoint that somebody else made is taken over, and what it serves counts as good."""
    good = known.good or (live["EndpointConfigName"] if live and not known.asked else "")
    return known.but(
        asked=config,
        at=asked.at,
        good=good,
        stage=asked.stage,
        smoke_test="true" if asked.smoke_test else "false",
        scaling=str(asked.scaling or "none"),
        update=str(asked.update),
        alarms=str(asked.alarms),
    )


def _is_done(known: Record, after: Record, config: str) -> bool:
    """The very request that was sent before, however it ended; or another one for what is there and good."""
    if (known.asked, known.at) == (after.asked, after.at) and known.phase != record.ASKING:
        return True
    return known.phase == record.GOOD and config == after.asked and after.but(at=known.at) == known


def _refuse(live: dict[str, Any] | None, config: str, known: Record) -> None:
    """Raises DeployRefused where nothing can be begun now."""
    if live is None:
        return
    name, status = live["EndpointName"], live["EndpointStatus"]
    if status in updating.BROKEN:
        raise DeployRefused(f"endpoint {name!r} is {status}: {live.get('FailureReason', '')} Undeploy it, then deploy")
    if status == "Deleting" or known.phase == record.LEAVING:
        raise DeployRefused(f"endpoint {name!r} is being deleted: deploy again when it is gone")
    if status in updating.BUSY and updating.target(live) != config:
        raise DeployRefused(f"endpoint {name!r} is {status} with another configuration: deploy again when it is done")


def _point(
    account: Account, endpoint: str, live: dict[str, Any] | None, wanted: Record
) -> tuple[dict[str, Any] | None, Record]:
    """The record is written before the request is sent, and once more after it: what was lost between is sent again."""
    sent = wanted.but(phase=record.DEPLOYING)
    if live is None:
        return _create(account, endpoint, sent), sent
    if updating.target(live) != wanted.asked:
        _refuse_other_kind(account, live, wanted.asked)
        record.write(account, live, wanted)
        updating.send(account, live, wanted.asked, wanted)
    return account.endpoint(endpoint), record.write(account, live, sent)


def _create(account: Account, endpoint: str, sent: Record) -> dict[str, Any] | None:
    """With the record among its tags. CreateEndpoint knows no way back: there is nothing to go back to."""
    try:
        account.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=sent.asked, Tags=sent.tags())
    except ClientError:
        live = account.endpoint(endpoint)
        if live is None or updating.target(live) != sent.asked:
            raise
        return live
    return {"EndpointStatus": "Creating"}


def _refuse_other_kind(account: Account, live: dict[str, Any], config: str) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html: neither becomes the other."""
    before, after = account.variant(live["EndpointConfigName"]), account.variant(config)
    if before and ("ServerlessConfig" in before) != ("ServerlessConfig" in after):
        kind = "serverless" if "ServerlessConfig" in before else "on instances"
        raise DeployRefused(f"endpoint {live['EndpointName']!r} is {kind}, and stays so: undeploy it, then deploy")
