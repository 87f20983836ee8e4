"""`darkroom local`: SageMaker on this machine for boto3, the AWS CLI and the SageMaker SDK, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys

from pipeline.cli import DONE, Command
from pipeline.cli.home import home, shown
from pipeline.cli.start import pairs, stand_ins
from pipeline.cli.text import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

PORT = 8475
_REGION = "us-east-1"
# what would send a client elsewhere, or give it other credentials, in spite of what is printed
_IN_THE_WAY = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
_OTHER_ENDPOINT = "AWS_ENDPOINT_URL_"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=whole(0, 65535), default=PORT, metavar="N", help=f"default: {PORT}; 0 takes a free one"
    )
    stand_ins(parser)


def run(args: Namespace) -> int:
    """Prints what a shell has to export, then serves. Executions that were started go on when the server ends."""
    from pipeline.client import local_client
    from pipeline.control import local_setup

    where = home()
    images, functions = pairs(args.image, "--image"), pairs(args.function, "--function")
    server = local_setup.http_server(where, args.port)  # first: a command that must fail leaves no folder behind
    local_setup.register(local_client(where), images, functions)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as by Ctrl-C
    print("\n".join(exports(server.url)), flush=True)
    print(f"serving {shown(where)} at {server.url}, to this machine alone; Ctrl-C ends it", file=sys.stderr)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nended; executions that run go on: darkroom executions", file=sys.stderr)
    finally:
        server.server_close()
    return DONE


def exports(url: str) -> list[str]:
    """Lines for sh: nothing in them is secret, as the service takes any credentials."""
    in_the_way = [name for name in os.environ if name in _IN_THE_WAY or name.startswith(_OTHER_ENDPOINT)]
    values = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "darkroom",
        "AWS_SECRET_ACCESS_KEY": "darkroom",
        "AWS_DEFAULT_REGION": _REGION,
    }
    lines = [f"export {name}={value}" for name, value in values.items()]
    return lines + ([f"unset {' '.join(sorted(in_the_way))}"] if in_the_way else [])


COMMANDS = {"local": Command(arguments, run)}
