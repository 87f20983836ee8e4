"""What ends: the endpoint and all that was made for it."""

from __future__ import annotations

import math

from rollout import made, record, scaling, starting, updating
from rollout.account import Account, gone


def undeploy(account: Account, endpoint: str) -> dict[str, str]:
    """Deletes endpoint, scaling, alarms, configurations and models; repeated, it deletes what is left.

    An endpoint that is being changed cannot be deleted: it is marked, and `advance` does it when the change is over.
    """
    live = account.endpoint(endpoint)
    known = record.read(account, live)
    if live is not None and live["EndpointStatus"] in updating.BUSY:
        if known.phase != record.LEAVING:
            known = record.write(account, live, known.but(phase=record.LEAVING))
        return starting.told(endpoint, live, known)
    scaling.delete(account, endpoint)  # also of an endpoint that somebody has deleted by hand
    if live is not None and live["EndpointStatus"] != "Deleting":
        gone(lambda: account.sagemaker.delete_endpoint(EndpointName=endpoint))
    made.forget(account, endpoint, set(), made_before=math.inf)
    live = account.endpoint(endpoint)
    return starting.told(endpoint, live, known, phase=record.LEAVING if live else "absent")
