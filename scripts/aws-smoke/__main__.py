"""python scripts/aws-smoke NAME: closes one row of docs/unproven.md. Without a name: what there is, in which order."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "entrypoints")]  # it runs from a clone, installed or not

import boto3  # noqa: E402  (the path above comes first)
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402
from smoke import checks  # noqa: E402
from smoke.account import Account, Options, Refused  # noqa: E402
from smoke.rows import by_name  # noqa: E402
from smoke.stages import STAGES  # noqa: E402
from smoke.verdict import CANNOT_TELL, EXIT_CODES, REFUTED, CannotTell, Check, Verdict  # noqa: E402

from pipeline.config import load_config  # noqa: E402
from pipeline.errors import DarkroomError  # noqa: E402

USAGE = 2


def main(argv: list[str] | None = None, session: boto3.Session | None = None) -> int:
    """0 CONFIRMED, 1 REFUTED, 3 CANNOT TELL; 2 where nothing was asked of the account."""
    args = _parser().parse_args(argv)
    if not args.name:
        print(listing())
        return 0
    check = checks.CHECKS[args.name]
    try:
        options = Options(args.region, args.profile, args.execution, args.endpoint, args.stack, args.seconds)
        account = Account(load_config(args.config), options, lambda words: print(f"  {words}", flush=True), session)
        _announce(check)
        account.check()
    except (Refused, DarkroomError, BotoCoreError, ClientError) as exc:
        print(f"refused: {exc}", file=sys.stderr)
        return USAGE
    verdict = verdict_of(check, account)
    print(f"saw       {verdict.saw}")
    more = {REFUTED: f": {by_name()[check.name].otherwise}", CANNOT_TELL: f": {verdict.next}"}
    print(f"{verdict.word}{more.get(verdict.word, '')}")
    return EXIT_CODES[verdict.word]


def verdict_of(check: Check, account: Account) -> Verdict:
    """What was made is deleted before it is told, whatever happened."""
    with account.undo:
        try:
            return check.run(account)
        except CannotTell as exc:
            return Verdict(CANNOT_TELL, exc.saw, exc.hint)
        except (ClientError, BotoCoreError) as exc:
            return Verdict(CANNOT_TELL, str(exc), "see what the service says, and ask again")


def _announce(check: Check) -> None:
    print(f"{check.name} ({STAGES[check.stage]}; {check.makes or 'only looks'})")
    print(f"assumed   {by_name()[check.name].assumption}")
    print(f"expected  {check.expects}")


def listing() -> str:
    lines = []
    for stage, words in STAGES.items():
        lines += ["", f"{words}:"]
        found = [check for check in checks.CHECKS.values() if check.stage == stage]
        lines += [f"  {check.name:<22}{check.makes or 'only looks'}" for check in found]
    return "\n".join(lines[1:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python scripts/aws-smoke", description=__doc__, allow_abbrev=False)
    parser.add_argument("name", nargs="?", choices=checks.CHECKS, metavar="NAME", help="default: lists them")
    parser.add_argument(
        "-c", "--config", type=Path, default=ROOT / "pipeline.yaml", metavar="FILE", help="pipeline.yaml"
    )
    parser.add_argument("--execution", default="last", metavar="ID", help="an id or an ARN; default: the newest")
    parser.add_argument("--endpoint", default="", metavar="NAME", help="default: the staging endpoint")
    parser.add_argument("--stack", default="", metavar="NAME", help="default: the pipeline's name")
    parser.add_argument("--seconds", type=float, default=180.0, metavar="N", help="how long to wait; default: 180")
    parser.add_argument("--region", default="", help="default: that of pipeline.yaml")
    parser.add_argument("--profile", default="", help="of ~/.aws/config; default: AWS_PROFILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
