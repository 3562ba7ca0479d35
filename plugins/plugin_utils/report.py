# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the report of a run: one HTML page that needs nothing else, and the same as JSON.

The page holds texts that came from hosts. So it is rendered in a sandbox with escaping on, forbids scripts, external loads and any
style but its own sheet, and shows control characters instead of obeying them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.tradeops.runbook.plugins.module_utils._core.errors import InvalidInput, RunbookError
from ansible_collections.tradeops.runbook.plugins.module_utils._core.units import plural

from .charts import draw
from .charts_rates import draw_rates
from .report_changes import compare
from .report_format import shorten, visible
from .places import sync_folder
from .report_logs import log_plots
from .report_page import Material, build_page
from .report_trends import Series, choose, collect

SCHEMA = "tradeops.runbook/report/1"
MOST_PLOTS = 36
"""A plot takes about 15 ms and 8 KB; measures beyond these keep their small line in the table."""
MOST_LOG_PLOTS = 48
"""Two for each log; the figures of all logs are there in any case."""
MODE = 0o640
"""The group of the folder may read (a team, a web server); others may not: a report names hosts, versions and weaknesses."""
FOLDER_MODE = 0o750

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TEMPORARY = (".report-", ".tmp")
_STALE_SECONDS = 3600
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_STYLE_HASH = "@style-hash@"
_Drawn = TypeVar("_Drawn")


def write_report(view: Mapping[str, Any], previous: Mapping[str, Any] | None, series: Series, directory: str) -> dict[str, str]:
    """Write ``<run id>.html`` and ``.json`` into ``directory``; a report of the same run that is there stays until both are complete.

    ``previous`` is the last comparable run or None; ``series`` maps (system, environment, host) to what ``History.series`` gives.
    Raises InvalidInput for a run id that is no file name, OSError when the folder cannot be written.
    """
    run_id = view.get("run_id")
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise InvalidInput(f"{visible(shorten(repr(run_id), 120))} is not a run id", "it looks like 20261120T021500Z-7f3a9c1e")
    changes = compare(previous, view)
    page = render_page(build_page(_material(view, changes, series or {})))
    folder = Path(directory)
    files = {folder / f"{run_id}.json": render_json(view, changes), folder / f"{run_id}.html": page}
    publish({path: text.encode("utf-8") for path, text in files.items()})
    return {"html_path": str(folder / f"{run_id}.html"), "json_path": str(folder / f"{run_id}.json")}


def _material(view: Mapping[str, Any], changes: Mapping[str, Any] | None, series: Series) -> Material:
    trends = collect(view, series)
    worth = choose(trends)
    chosen, note = worth[:MOST_PLOTS], ""
    if not worth:
        note = "A plot needs a measure that moved, or that has a limit, in at least three runs of the history; there is none yet."
    elif len(worth) > MOST_PLOTS:
        rest = plural(len(worth) - MOST_PLOTS, "more measure")
        note = f"{rest} with a course over the runs: see the small lines in the tables of checks."
    plots, trouble = _plots(chosen, draw)
    of_logs = log_plots(view)
    drawn, log_trouble = _plots(of_logs[:MOST_LOG_PLOTS], lambda few: draw_rates([plot.rates for plot in few]))
    log_note = f"{plural(len(of_logs) - MOST_LOG_PLOTS, 'more plot')} would be too many." if len(of_logs) > MOST_LOG_PLOTS else ""
    return Material(view, changes, trends, plots, trouble or note, drawn, log_trouble or log_note)


def _plots(chosen: Sequence[_Drawn], drawer: Callable[[Sequence[_Drawn]], list[str]]) -> tuple[list[tuple[_Drawn, str]], str]:
    """The plots, or none and one sentence why: a report without plots is better than no report."""
    try:
        return list(zip(chosen, drawer(chosen), strict=True)), ""
    except RunbookError as error:
        return [], f"There are no plots, because {error.message}: {error.hint}."
    except Exception as error:  # noqa: BLE001 - a library that is installed but broken can raise anything
        return [], f"There are no plots, because drawing them failed: {type(error).__name__}: {shorten(str(error), 200)}."


def render_page(page: Mapping[str, Any]) -> str:
    """The HTML of the report."""
    html = str(_template().render(page))
    style = _STYLE.search(html)
    digest = hashlib.sha256(style.group(1).encode("utf-8") if style else b"").digest()
    return html.replace(_STYLE_HASH, f"sha256-{base64.b64encode(digest).decode('ascii')}", 1)


@functools.cache
def _template() -> Any:
    from jinja2 import FunctionLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    loader = FunctionLoader(lambda name: Path(__file__).with_name(name).read_text(encoding="utf-8"))
    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown, loader=loader)
    return environment.get_template("report.html.j2")


def _shown(value: Any) -> Any:
    """Runs on every value before it is escaped, so that no place of the template can forget it."""
    return value if hasattr(value, "__html__") else visible(value if isinstance(value, str) else str(value))


def render_json(view: Mapping[str, Any], changes: Mapping[str, Any] | None) -> str:
    """The view with ``schema``, ``anchor`` and ``changes_since``; ASCII only, keys sorted, no NaN."""
    document = {**view, "schema": SCHEMA, "anchor": view.get("anchor"), "changes_since": changes}
    return json.dumps(_plain(document), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """``value`` as JSON can say it: keys are text, NaN and infinities are null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def publish(files: Mapping[Path, bytes]) -> None:
    """Put files in place, each whole or not at all, none before all are on the disk. They share one folder."""
    folder = next(iter(files)).parent
    os.makedirs(folder, FOLDER_MODE, exist_ok=True)
    _sweep(folder)
    staged: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            staged[path] = _stage(folder, content)
        for path in files:
            os.replace(staged[path], path)
            del staged[path]
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
    sync_folder(folder)


def _stage(folder: Path, content: bytes) -> Path:
    """A complete file beside its future place. Nobody else reads it (mkstemp: 0600, exclusive) before it is complete."""
    descriptor, name = tempfile.mkstemp(_TEMPORARY[1], _TEMPORARY[0], folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), MODE)
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)


def _sweep(folder: Path) -> None:
    """Remove what a killed writer left behind; younger files may belong to one that lives."""
    for path in folder.glob(f"{_TEMPORARY[0]}*{_TEMPORARY[1]}"):
        try:
            status = path.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _STALE_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue
