"""A run → one HTML page: self-contained, whole without its one script, readable in five years."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.client import Clients

NAME = "report.html"


def write_report(clients: Clients, arn: str, path: str = "") -> str:
    """Writes `path`, else <home>/executions/<id>/report.html; returns it. Raises StorageError where it cannot."""
    import os

    from pipeline.control.executions import identifier
    from pipeline.errors import StorageError
    from pipeline.report.collect import collect
    from pipeline.report.page import render

    path = path or os.path.join(clients.home, "executions", identifier(arn), NAME)
    html = render(collect(clients, arn))
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        aside = f"{path}.{os.getpid()}"
        with open(aside, "w", encoding="utf-8") as file:
            file.write(html)
        os.replace(aside, path)
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror}", "free some disk space") from exc
    return path
