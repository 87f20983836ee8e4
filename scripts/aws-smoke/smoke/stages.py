"""When a check can be run, in the order in which somebody with an empty account comes by."""

from __future__ import annotations

FREE, STACK, EXECUTION, AGAIN, SPECIAL, DEBUGGER, ENDPOINT = (
    *("free", "stack", "execution", "again", "special", "debugger", "endpoint"),
)
STAGES = {
    FREE: "with credentials alone; costs nothing",
    STACK: "after steps 2 and 3 of docs/aws.md",
    EXECUTION: "after one `darkroom start --target aws --wait`",
    AGAIN: "after `darkroom approve 1 --target aws`, and a second execution",
    SPECIAL: "after an execution of its own, which the command names where it cannot tell",
    DEBUGGER: "after an execution with `health.managed: true`, in an account that has Debugger",
    ENDPOINT: "while an endpoint is in service, which costs by the hour",
}
