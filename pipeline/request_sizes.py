"""How much SageMaker takes in one request and in several at once, where its API's models do not say so."""

from __future__ import annotations

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
LARGEST_BODY = 6_291_456  # bytes
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-invoke.html
LARGEST_SERVERLESS_BODY = 4_194_304
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
LARGEST_ASYNC_BODY = 128_000  # bytes that come along, without an InputLocation
# https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html
LARGEST_ASYNC_INPUT = 1 << 30  # bytes that lie there
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html, MaxPayloadInMB
MOST_TRANSFORM_MB = 100  # of the requests of a transform job that are under way together
DEFAULT_PAYLOAD_MB = 6


def together_mb(at_once: float | None, payload_mb: float | None) -> float:
    """Of a transform job. `at_once`: MaxConcurrentTransforms, whose 0 leaves it to the service: 1 at least."""
    return (at_once or 1) * (DEFAULT_PAYLOAD_MB if payload_mb is None else payload_mb)


def refusal(at_once: float | None, payload_mb: float | None) -> str:
    """What CreateTransformJob says of a job that sends too much at once; empty for one that does not."""
    together = together_mb(at_once, payload_mb)
    if together <= MOST_TRANSFORM_MB:
        return ""
    return f"MaxConcurrentTransforms * MaxPayloadInMB is {together:g} MB; it cannot exceed {MOST_TRANSFORM_MB} MB"
