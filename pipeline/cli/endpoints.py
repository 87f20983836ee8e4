"""`darkroom predict`, `endpoints`."""

from __future__ import annotations

import sys

from pipeline.cli import Command, target
from pipeline.cli.home import darkroom, shown
from pipeline.cli.text import print_json, print_nothing, print_table
from pipeline.control import endpoints, local_setup
from pipeline.control.times import moment
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pipeline.client import Clients


def predict_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="picture files")
    parser.add_argument("--endpoint", default="", metavar="NAME", help="default: the production endpoint")
    parser.add_argument("--json", action="store_true", help="a list with all that the model says")
    target.arguments(parser)


def predict_command(args: Namespace) -> int:
    """Every picture gets its line; one that is refused does not keep the others from being classified."""
    from pipeline.cli import complain

    clients = target.used(args)
    name = endpoints.find(clients, args.endpoint)
    answers, refused = [], 0
    for image in args.images:
        try:
            answers.append({"image": image, **endpoints.predict(clients, name, image)})
        except DarkroomError as exc:
            complain(exc)
            refused += 1
    if args.json:
        print_json(answers)
    else:
        for answer in answers:
            print(f"{answer['image']}  {answer['class']}  {answer['probability']:.4f}")
    return 1 if refused else 0


def list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    target.arguments(parser)


def list_command(args: Namespace) -> int:
    clients = target.looked_at(args)
    if clients is None:
        return print_nothing(args.json)
    rows = [{**row, **_whereabouts(clients, row["EndpointName"])} for row in endpoints.newest_first(clients)]
    if args.json:
        print_json(rows)
        return 0
    if not rows:
        print(f"there is no endpoint{clients.place}; {darkroom()} deploy{clients.options}", file=sys.stderr)
        return 0
    if clients.place:
        on_aws = [(row["EndpointName"], row["EndpointStatus"], moment(row["CreationTime"])) for row in rows]
        print_table(("ENDPOINT", "STATUS", "CREATED"), on_aws)
        return 0
    cells = []
    for row in rows:
        created, log = moment(row["CreationTime"]), row["LogPath"] and shown(row["LogPath"])
        cells.append((row["EndpointName"], row["EndpointStatus"], created, row["Url"] or "asleep", log))
    print_table(("ENDPOINT", "STATUS", "CREATED", "ADDRESS", "LOG"), cells)
    return 0


def _whereabouts(clients: Clients, name: str) -> dict[str, str]:
    """Only on this machine has an endpoint an address and a log of its own."""
    if clients.place:
        return {}
    return {"Url": local_setup.address(clients, name), "LogPath": local_setup.log_path(clients, name)}


COMMANDS = {
    "predict": Command(predict_arguments, predict_command),
    "endpoints": Command(list_arguments, list_command),
}
