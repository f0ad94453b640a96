"""The command watch."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..config import Config, LiveConfig
from ..errors import OutputError
from .console import OVER_LIMIT, UNDECIDED, log
from .options import FILE, GroupedCommand, config_options, finite, option, parse_limits, print_options

if TYPE_CHECKING:
    from ..live.events import Status, WatchEvent
    from ..report.limits import Limits

EVENT_COLOURS = {"alarm": "red", "lost": "red", "cleared": "green", "no_face": "magenta", "no_speech": "magenta"}


def parse_limit(context: click.Context, parameter: click.Parameter, value: str) -> Limits:
    """One value as Limits."""
    return parse_limits(context, parameter, (value,))[0]


def seconds(name: str, least: float, most: float, default: float | None, words: str) -> Callable:
    """An option for a number of seconds."""
    kind = click.FloatRange(least, most)
    return option(name, type=kind, default=default, show_default=default is not None, callback=finite, metavar="S", help=words)


@click.command(cls=GroupedCommand, short_help="Watch the A/V offset of a stream.")
@click.argument("source", metavar="URL_OR_FILE")
@option("--limits", default="r37", show_default=True, callback=parse_limit, metavar="NAME|EARLY:LATE",
        help="Raise an alarm beyond r37, bt1359[-acceptability], atsc, film or EARLY:LATE ms.")  # fmt: skip
@seconds("--every", 2, 3600, LiveConfig.every_s, "Print an estimate every S seconds.")
@seconds("--window", 4, 60, LiveConfig.window_s, "Estimate from the last S seconds.")
@seconds("--timeout", 1, 600, None, "Reconnect after S seconds without data; a file has ended then  [default: 10, HTTP and files 30]")
@seconds("--duration", 1, 1e8, None, "Stop after S seconds; 4 if an alarm was raised.")
@option("--once", is_flag=True, help="Stop as soon as it is certain whether the limits are kept; 4 if not.")
@option("--prometheus", type=FILE, metavar="FILE", help="Keep metrics in FILE (.prom) for Prometheus' textfile collector.")
@option("--name", metavar="NAME", help="Name of the input in the output  [default: URL_OR_FILE without user and query]")
@print_options
@config_options
def watch(
    source: str,
    limits: Limits,
    every: float,
    window: float,
    timeout: float | None,
    duration: float | None,
    once: bool,
    prometheus: Path | None,
    name: str | None,
    as_json: bool,
    quiet: bool,
    config: Config,
) -> None:
    """Watch a stream, a growing recording or a pipe (-), print its A/V offset and raise an alarm beyond the limits.

    Example: resync watch udp://239.1.1.1:5000 --limits r37
    """
    from ..api import Analyzer
    from ..live.inputs import parse_input
    from ..live.monitor import Monitor

    write = metrics_writer(prometheus, quiet)
    watched = parse_input(source, name)
    timeout_s = timeout or (LiveConfig.pulled_timeout_s if watched.is_pulled else LiveConfig.timeout_s)
    live = replace(LiveConfig(), every_s=every, window_s=window, timeout_s=timeout_s)
    monitor = Monitor(Analyzer(config).engine, config, watched, limits, live, math.isinf(config.sampling.full_scan_s))

    def show(event: WatchEvent) -> None:
        if as_json or event.kind != "waiting":
            click.echo(event.to_json() if as_json else coloured(event))
        write(event.status)

    with closing(monitor.events(duration, once)) as events:
        try:
            for event in events:
                show(event)
        except SystemExit:  # a signal
            show(monitor.summary())
            raise
    show(monitor.summary())
    sys.exit(exit_code(monitor.status))


def exit_code(status: Status) -> int:
    """The exit code of a watch that was not interrupted."""
    return OVER_LIMIT if status.alarms else UNDECIDED if status.alarm is None else 0


def coloured(event: WatchEvent) -> str:
    """An event as a line of text; click drops its colours where they do not belong."""
    return click.style(event.to_text(), fg=EVENT_COLOURS[event.kind]) if event.kind in EVENT_COLOURS else event.to_text()


def metrics_writer(path: Path | None, quiet: bool) -> Callable[[Status], None]:
    """Writes the metrics, if a file is given. Later errors are messages: a full disk must not end the watch."""
    if path is None:
        return lambda status: None
    try:
        from ..live.metrics import write_metrics
    except ImportError as error:
        raise OutputError(f"{path}: needs the package prometheus-client; pip install 'resync[prometheus]'") from error
    from ..remux.paths import Overwrite, check_report_output

    check_report_output([], path, ".prom", Overwrite.OWN)

    def write(status: Status) -> None:
        try:
            write_metrics(status, path)
        except OutputError as error:
            log(f"resync: {error}", quiet)

    return write
