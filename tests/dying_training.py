"""Runs train.py in forked children that may kill themselves: a line of JSON in, one out.

In: [arguments, moment, log]. From its first batch on the child counts every call of a function, Python's or C's, and
ends itself by SIGKILL at number `moment`; 0: never. Out: [exit code, or minus the signal; calls, if it lived].
A fork starts at once, where a new process would load torch first; nothing has been computed before it.
"""

import json
import os
import signal
import sys
import threading

import torch
import torch._dynamo  # each optimiser asks for it: seconds in every child
import train


def child(arguments, moment, log, answer):
    number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(number, 1)
    os.dup2(number, 2)
    calls = 0

    def seen(frame, event, _):
        nonlocal calls
        if not calls and frame.f_code.co_name != "shuffled":  # of Batches or of Features
            return
        calls += 1
        if calls == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(seen)
    code = train.main(arguments, {})
    sys.setprofile(None)
    sys.stdout.flush()
    os.write(answer, str(calls).encode())
    os._exit(code)


def run(arguments, moment, log):
    readable, writable = os.pipe()
    process = os.fork()
    if process == 0:
        child(arguments, moment, log, writable)
    os.close(writable)
    with open(readable, encoding="utf-8") as answer:
        calls = int(answer.read() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), calls


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert threading.active_count() == 1
    for line in sys.stdin:
        print(json.dumps(run(*json.loads(line))), flush=True)
