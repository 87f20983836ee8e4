"""Views' answers → HTML. Every value is escaped by Jinja2: names and logs with HTML in them are shown, not run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from pipeline.control import executions
from pipeline.control.times import duration, moment
from pipeline.report import charts
from pipeline.studio import places
from pipeline.studio.asked import Page, Studio
from pipeline.studio.security import form_token

# Style and tables are the report's, so that the same things look the same.
STATIC: Mapping[str, tuple[str, str, str]] = {
    "style.css": ("pipeline.report", "style.css", "text/css"),
    "report.js": ("pipeline.report", "report.js", "text/javascript"),
    "studio.js": ("pipeline.studio", "static/studio.js", "text/javascript"),
    "pictures.js": ("pipeline.studio", "static/pictures.js", "text/javascript"),
    "studio.css": ("pipeline.studio", "static/studio.css", "text/css"),
}


@cache
def environment() -> Environment:
    loaders = [PackageLoader("pipeline.studio", "templates"), PackageLoader("pipeline.report", ".")]
    made = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(
        number=charts.number,
        duration=duration,
        moment=moment,
        state=lambda status: executions.LOOKS.get(status, ""),
        identifier=executions.identifier,
    )
    made.globals.update(places=places)
    return made


def render(page: Page, studio: Studio) -> str:
    token = form_token(studio.secret) if studio.writes else ""
    whose = {"place": studio.place, "writes": studio.writes, "token": token, "planned": studio.planned is not None}
    return environment().get_template(page.template).render(**page.values, **whose)


def static(name: str) -> tuple[bytes, str] | None:
    """Content and media type; None for what there is not."""
    if name not in STATIC:
        return None
    package, path, media = STATIC[name]
    return files(package).joinpath(path).read_bytes(), media
