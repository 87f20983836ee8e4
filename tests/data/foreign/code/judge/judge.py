"""A Lambda handler that needs no AWS."""


def handler(event, context):
    good = float(event["quality"]) >= float(event["threshold"])
    return {"verdict": "pass" if good else "fail", "score": float(event["quality"]), "count": 2, "good": good}
