"""What follows: one look at the endpoint, one step on. May be called at any time, as often as anybody likes."""

from __future__ import annotations

from typing import Any

from rollout import alarms, golden, leaving, made, record, scaling, starting, updating
from rollout.account import Account, DeployFailed, DeployRefused
from rollout.record import Record
from rollout.settings import Alarms, Scaling

SPARED_S = 3600  # what is younger may be another deployment's, which has not said so yet


def advance(account: Account, endpoint: str) -> dict[str, str]:
    """Raises DeployFailed once, when a deployment has ended badly; from then on the answer's phase says failed."""
    live = account.endpoint(endpoint)
    known = record.read(account, live)
    if live is None:
        return starting.told(endpoint, live, known, phase="absent")
    if known.phase == record.LEAVING:  # also of an endpoint that somebody else made
        return leaving.undeploy(account, endpoint)
    if not known.asked:
        return starting.told(endpoint, live, known, phase="foreign")
    status = live["EndpointStatus"]
    if known.phase in record.ENDED or status == "Deleting":
        return starting.told(endpoint, live, known)
    if status in updating.BUSY:
        return _watch(account, endpoint, live, known)
    if status in updating.BROKEN:
        return _fail(account, live, known, f"the endpoint is {status}: {live.get('FailureReason', 'no reason given')}")
    return _settle(account, live, known)


def _settle(account: Account, live: dict[str, Any], known: Record) -> dict[str, str]:
    """In service, and not yet at an end."""
    match known.phase:
        case record.ASKING | record.DEPLOYING if _is_there(live, known.asked):
            return _arrived(account, live, known)
        case record.ASKING:
            return starting.resume(account, live["EndpointName"], live, known)
        case record.DEPLOYING:
            return _came_back(account, live, known)
        case record.UNDOING:
            return _undo(account, live, known)
        case record.RESTORING:
            return _restored(account, live, known)
    name, tag = live["EndpointName"], f"{record.PREFIX}phase"
    raise DeployFailed(f"endpoint {name!r}: its tag {tag} is {known.phase!r}, which nobody wrote")


def _watch(account: Account, endpoint: str, live: dict[str, Any], known: Record) -> dict[str, str]:
    """While it rolls back the alarm that made it do so is still to be seen; later it may be calm again."""
    after = known
    if known.phase == record.ASKING and updating.target(live) == known.asked:
        after = known.but(phase=record.DEPLOYING)
    if live["EndpointStatus"] == "RollingBack" and known.phase == record.DEPLOYING and not known.reason:
        after = known.but(reason=record.plain(_alarm(account, known)))
    if after != known:
        record.conclude(account, live, known, phase=after.phase, reason=after.reason)
    return starting.told(endpoint, live, after)


def _arrived(account: Account, live: dict[str, Any], known: Record) -> dict[str, str]:
    """In service with what was asked for: asked about the golden pictures, scaled, and then called good."""
    endpoint = live["EndpointName"]
    if known.smoke_test == "true" and (wrong := _wrong(account, endpoint, known.asked)):
        return _unfit(account, live, known, f"the smoke test failed: {wrong}")
    scaling.ensure(account, endpoint, Scaling.read(known.scaling))
    # The way back leads to what was good before this one; after a rollback there is no further one.
    before = known.before if known.good in ("", known.asked) else known.good
    before = "" if known.asked == known.before else before
    if not record.conclude(account, live, known, phase=record.GOOD, good=known.asked, before=before, reason=""):
        return starting.told(endpoint, live, known, phase="superseded")
    made.forget(account, endpoint, {known.asked, before}, account.clock.time() - SPARED_S)
    return starting.told(endpoint, live, known.but(phase=record.GOOD, reason=""))


def _wrong(account: Account, endpoint: str, config: str) -> str:
    """Nothing is known of a configuration that somebody else made, so nothing can be wrong with it."""
    arn = made.package_behind(account, config)
    if not arn:
        return ""
    try:
        pictures = golden.pictures(account, made.package_of(account, arn))
    except DeployRefused as gone:
        return str(gone)
    return golden.verdict(account, endpoint, pictures)


def _unfit(account: Account, live: dict[str, Any], known: Record, reason: str) -> dict[str, str]:
    if not known.good or known.good == known.asked:
        return _fail(account, live, known, f"{reason}; there is no good deployment to go back to, so it stays")
    undoing = known.but(phase=record.UNDOING, reason=record.plain(reason))
    if not record.conclude(account, live, known, phase=undoing.phase, reason=undoing.reason):
        return starting.told(live["EndpointName"], live, known, phase="superseded")
    return _undo(account, live, undoing)


def _undo(account: Account, live: dict[str, Any], known: Record) -> dict[str, str]:
    if not _is_there(live, known.good):
        updating.send(account, live, known.good, known, guarded=False)
    record.conclude(account, live, known, phase=record.RESTORING)
    return starting.told(live["EndpointName"], live, known.but(phase=record.RESTORING))


def _restored(account: Account, live: dict[str, Any], known: Record) -> dict[str, str]:
    if not _is_there(live, known.good):
        return _fail(account, live, known, f"{known.reason}; going back to {known.good} failed: {_said(live)}")
    return _fail(account, live, known, f"{known.reason}; the endpoint is back at {known.good}")


def _came_back(account: Account, live: dict[str, Any], known: Record) -> dict[str, str]:
    """InService says nothing of it: the configuration is the old one, so SageMaker has rolled back."""
    why = known.reason or _alarm(account, known) or _said(live)
    return _fail(account, live, known, f"SageMaker rolled back to {live['EndpointConfigName']}: {why}")


def _fail(account: Account, live: dict[str, Any], known: Record, reason: str) -> dict[str, str]:
    """Scaling that was taken back for another machine comes back with the old one."""
    if live["EndpointStatus"] == "InService" and known.good:
        scaling.ensure(account, live["EndpointName"], Scaling.read(known.scaling))
    if not record.conclude(account, live, known, phase=record.FAILED, reason=record.plain(reason)):
        return starting.told(live["EndpointName"], live, known, phase="superseded")
    raise DeployFailed(f"the deployment of {known.asked} to {live['EndpointName']} failed: {reason}")


def _is_there(live: dict[str, Any], config: str) -> bool:
    return bool(live["EndpointConfigName"] == config)


def _alarm(account: Account, known: Record) -> str:
    return alarms.raised(account, alarms.names(known.asked, Alarms.read(known.alarms)))


def _said(live: dict[str, Any]) -> str:
    return str(live.get("FailureReason") or "it gave no reason, and no alarm is raised any more")
