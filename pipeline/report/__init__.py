"""A run → one HTML page: self-contained, whole without its one script, readable in five years."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.client import Clients
    from pipeline.plan.prices import Money

NAME = "report.html"


def write_report(clients: Clients, arn: str, path: str = "", money: Money | None = None) -> str:
    """Writes `path`, else <home>/executions/<id>/report.html; into a folder under that name. Returns where it is.

    `money`: prices of machines that go before darkroom's own. Raises StorageError where it cannot be written.
    """
    import os

    from pipeline.control.executions import identifier
    from pipeline.errors import StorageError
    from pipeline.report.collect import collect
    from pipeline.report.page import render
    from pipeline.whole_file import whole

    path = path or os.path.join(clients.home, "executions", identifier(arn), NAME)
    if path.endswith(os.sep) or os.path.isdir(path):
        path = os.path.join(path, NAME)
    html = render(collect(clients, arn, money))
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with whole(path) as aside, open(aside, "w", encoding="utf-8") as file:
            file.write(html)
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror}", "name another file with -o") from exc
    return path
