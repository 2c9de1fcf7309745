"""The page itself: sections through a template into one file."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from crm_ml.report.content import ReportContent
from crm_ml.report.sections import sections

__all__ = ["write_report"]


def write_report(content: ReportContent, path: str | os.PathLike[str]) -> Path:
    """Write a report as one self-contained HTML file.

    The file needs nothing beside it: styles and figures are inline, there is no script, and no address of
    another host. It is written beside its place and then renamed, so a reader sees the old page or the new
    one, never half. Equal content gives equal bytes under the same matplotlib.

    Parameters
    ----------
    content : ReportContent
        What to show; all its text is escaped.
    path : str or path-like
        Where to write; missing folders are made.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    SchemaError
        If a frame lacks a column its figure draws.

    Examples
    --------
    >>> import tempfile
    >>> content = ReportContent(title="Tea & Co", as_of="2017-10-01", made_by="crm_ml", period="2017",
    ...                         currency="$")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(content, Path(folder) / "report.html").read_text(encoding="utf-8")
    >>> "<h1>Tea &amp; Co</h1>" in page
    True
    """
    target = Path(path)
    page = _render(content).encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(page)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _render(content: ReportContent) -> str:
    environment = Environment(
        loader=PackageLoader("crm_ml.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(content=content, sections=sections(content))
