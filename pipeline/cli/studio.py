"""`darkroom studio`: pages on loopback, of this machine or of an account, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys

from pipeline.cli import DONE, Command, target
from pipeline.cli.definitions import config_option
from pipeline.cli.home import CONFIG, home, shown, used_home
from pipeline.cli.text import whole
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from pipeline.client import Clients, Hosting
    from pipeline.studio.asked import Planned

    Sessions = Callable[[], AbstractContextManager[Clients]]
    HostingSessions = Callable[[], AbstractContextManager[Hosting]]

PORT = 8476


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=whole(0, 65535), default=PORT, metavar="N", help=f"default: {PORT}; 0 takes a free one"
    )
    config_option(parser)
    target.arguments(parser)
    parser.add_argument(
        "--write", action="store_true", help="with --target aws: pages may also change the account, not only show it"
    )


def run(args: Namespace) -> int:
    """Prints the address, whose token lets a browser in, then serves. What runs goes on when the server ends."""
    from functools import partial
    from secrets import token_urlsafe

    from pipeline.cli.report import own_prices
    from pipeline.studio import server
    from pipeline.studio.app import application
    from pipeline.studio.asked import Studio

    if args.config != CONFIG and not os.path.exists(args.config):
        raise DarkroomError(f"{args.config}: no such file", "-c FILE, or nothing: the pages need none")
    connect, hosting, place = _connect(args)
    if args.write and not place:
        raise DarkroomError("--write is for an account: on this machine pages may change things anyway", "leave it out")
    secret = token_urlsafe(32)
    opened = server.listening(args.port)
    with opened:
        port, writes, prices = (
            opened.getsockname()[1],
            args.write or not place,
            partial(own_prices, args.config, needed=False),
        )
        studio = Studio(connect, hosting, secret, port, place, writes, planned(args), prices)
        serving = server.server(application(studio))
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as by Ctrl-C
        print(server.address(opened, secret), flush=True)
        what = place.strip() or shown(home())
        print(f"serving {what}, to whoever has this address, on this machine alone; Ctrl-C ends it", file=sys.stderr)
        try:
            serving.run(sockets=[opened])
        except KeyboardInterrupt:
            print("\nended; executions that run go on: darkroom executions", file=sys.stderr)
    return DONE


def _connect(args: Namespace) -> tuple[Sessions, HostingSessions, str]:
    """What makes the clients of one thread, and the place. boto3's may be used by many threads, a store's may not."""
    from contextlib import nullcontext

    from pipeline.client import aws_hosting, hosting_session, local_session

    if target.chosen(args) == target.AWS:
        clients, hosting = target.connect(args), aws_hosting(args.region, args.profile, args.session)
        return lambda: nullcontext(clients), lambda: nullcontext(hosting), clients.place
    return lambda: local_session(used_home()), lambda: hosting_session(used_home()), ""


def planned(args: Namespace) -> Planned | None:
    """Compiles the file when a page asks for its plan, into a folder that is gone behind it. None without a file."""
    import tempfile
    from contextlib import contextmanager

    from pipeline.cli.plan import configured
    from pipeline.studio.asked import Wanted

    @contextmanager
    def compiled() -> Iterator[Wanted]:
        with tempfile.TemporaryDirectory(prefix="darkroom-plan-") as aside:
            subject, given = configured(args.config, "", {}, aside)
            yield Wanted(subject, given, args.config)

    return compiled if os.path.exists(args.config) else None


COMMANDS = {"studio": Command(arguments, run)}
