"""The program `resync`: its commands. Results go to stdout, messages to stderr."""

from __future__ import annotations

import os
import sys

import click

from .. import __version__
from ..shutdown import end_on_signals
from .check import check
from .demo import demo
from .filter import filter_clips
from .fix import fix, shift
from .options import OrderedGroup
from .plot import plot, preview
from .training import evaluate, prepare, train
from .watch import watch

# NumPy's products here are small, and OpenBLAS's threads would keep spinning for a tenth of a second after each.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@click.group(cls=OrderedGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="resync")
@click.pass_context
def main(context: click.Context) -> None:
    """Measure the A/V offset of talking-face videos and correct it.

    \b
    resync fix in.mp4 out.mp4       measure, shift the audio, write
    resync check in.mp4             only report the offset
    resync demo                     try it on a synthetic clip

    Signs: audio late = positive audio_delay_ms; shift_ms = shift applied to the audio, + = later.
    Exit codes: 0 done, 1 error, 2 usage, 3 undecided (nothing written), 4 limits exceeded.
    """
    context.call_on_close(end_on_signals())
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text, and JSON stays JSON then


for command in (check, fix, shift, filter_clips, plot, preview, watch, demo, prepare, train, evaluate):
    main.add_command(command)
