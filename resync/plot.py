"""Pictures of what was found: the curve, the heat map over time, who spoke and was seen, the mouths that told most.

Colours are told apart by colour-blind readers (viridis; Okabe and Ito's palette), and nothing is told by colour alone.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .config import FPS, HOP_S, WINDOW_FRAMES
from .curve import Scores, at_delay, over_time, seen_at_all
from .errors import OutputError
from .evidence import Evidence, Moment
from .partfile import Overwrite, part_file
from .remux import check_target
from .report import Report, headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = (".png", ".svg", ".pdf")
DPI = 100
WIDTH_PX, HEIGHT_PX = 1200, 1080
MOUTHS_SHOWN = 3  # moments, each of five pictures
GAP_SHARE = 0.02  # of what was looked at: longer gaps are drawn this short
JOIN_S = 0.5  # stretches nearer than this are drawn as one
BLACK, ORANGE, GREEN, BLUE, RED = "#000000", "#E69F00", "#009E73", "#0072B2", "#D55E00"


def check_plot(src: str | Path, dst: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError when `dst` is no kind of picture that can be drawn, or where `remux.check_target` does."""
    if Path(dst).suffix.lower() not in KINDS:
        raise OutputError(f"{dst}: no kind of picture that can be drawn; use .png, .svg or .pdf")
    check_target(src, dst, overwrite)


@contextmanager
def drawn(evidence: Evidence, dst: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> Iterator[None]:
    """Draw `dst` (.png, .svg or .pdf); it gets its name when the body is done, so who fails there leaves none behind.

    Raises OutputError.
    """
    check_plot(evidence.info.path, dst, overwrite)
    dst = Path(dst)
    with part_file(dst) as part:
        with _writing(dst), _plain():
            figure(evidence).savefig(part, dpi=DPI)
        yield
        with _writing(dst):
            part.replace(dst)


@contextmanager
def _writing(dst: Path) -> Iterator[None]:
    """What the system says against writing becomes an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{dst}: cannot be written ({error.strerror}); choose another place") from error


@contextmanager
def _plain() -> Iterator[None]:
    """matplotlib's own looks, whatever its user has set, and no talk of letters that its font lacks."""
    from matplotlib import style

    with style.context("default"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def figure(evidence: Evidence) -> Figure:
    """The whole picture, WIDTH_PX x HEIGHT_PX at DPI."""
    fig = _figure(WIDTH_PX, HEIGHT_PX)
    fig.suptitle("\n".join(title(evidence.report)), fontsize=13, parse_math=False)
    rows = fig.add_gridspec(4, 1, height_ratios=(3.0, 3.2, 0.9, 1.15))
    draw_curve(fig.add_subplot(rows[0]), evidence)
    line = TimeLine(evidence.parts, evidence.report.duration_s)
    heat = fig.add_subplot(rows[1])
    strip = fig.add_subplot(rows[2], sharex=heat)
    _draw_heat(heat, evidence, line)
    _draw_strip(strip, evidence, line)
    cells = rows[3].subgridspec(1, MOUTHS_SHOWN)
    _draw_mouths([fig.add_subplot(cells[0, i]) for i in range(MOUTHS_SHOWN)], evidence)
    return fig


def panel(evidence: Evidence, moved: bool, width: int, height: int) -> np.ndarray:
    """The curve with where the sound now is, before or after it was moved: uint8 [height, width, 3] RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with _plain():
        fig = _panel(evidence, moved, width, height)
        canvas = FigureCanvasAgg(fig)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[:, :, :3]


def _panel(evidence: Evidence, moved: bool, width: int, height: int) -> Figure:
    fig, report = _figure(width, height), evidence.report
    state = f"AFTER: sound {moved_words(report.shift_ms or 0)}" if moved else f"BEFORE, as it is: {headline(report)}"
    fig.suptitle("\n".join(textwrap.wrap(state, max(20, width // 10))), fontsize=14, fontweight="bold", parse_math=False)
    axes = fig.add_subplot()
    draw_curve(axes, evidence)
    now = report.shift_ms or 0.0 if moved else 0.0
    axes.axvline(now, color=BLACK, linewidth=4, label="what you hear now", zorder=2.5)
    _legend(axes, 3)
    return fig


def title(report: Report) -> list[str]:
    """What was found in words: the file and its verdict, then how sure or why not."""
    name = "".join(c if c.isprintable() else "?" for c in Path(report.file).name)
    lines = [f"{name if len(name) <= 60 else f'{name[:57]}...'}: {headline(report)}"]
    if report.decided and report.uncertainty_ms is not None and report.shift_ms is not None:
        sure = f"\N{PLUS-MINUS SIGN}{report.uncertainty_ms:.0f} ms, probability in sync {report.probability_at_offset:.2f} there"
        lines.append(f"{sure}, offscreen ratio {report.offscreen_ratio:.2f}; the sound belongs {moved_words(report.shift_ms)}")
    elif report.reasons:
        lines += textwrap.wrap(report.reasons[0], 110)
    return lines


def signed(ms: float) -> str:
    """Whole ms with a sign, as the ticks of the axes write it."""
    return f"{ms:+.0f}".replace("-", "\N{MINUS SIGN}")


def moved_words(shift_ms: float) -> str:
    """Where the sound goes, in words."""
    return f"{abs(shift_ms):.0f} ms {'later' if shift_ms > 0 else 'earlier'}" if shift_ms else "where it is"


def draw_curve(axes: Axes, evidence: Evidence) -> None:
    """Smoothed P(in sync) over the shift, with the peak, its uncertainty and the runner-up."""
    decision, top = evidence.decision, evidence.peak
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("P(in sync), 0 to 1")
    axes.set_xlabel("shift of the sound that is tried (ms): \N{MINUS SIGN} plays it earlier, + plays it later")
    if top is None:
        axes.set_xlim(-1000 * evidence.config.curve.range_s, 1000 * evidence.config.curve.range_s)
        _say(axes, "no curve: nothing could be scored")
        return
    shifts = np.asarray(evidence.shift_ms(decision.delays * HOP_S))
    axes.set_xlim(shifts.min(), shifts.max())
    axes.grid(alpha=0.3)
    axes.plot(shifts, decision.curve, color=BLUE, linewidth=2, label="P(in sync), smoothed")
    axes.axvline(0, color=BLACK, linewidth=1, linestyle=":", label="the film as it is")
    _mark_peak(axes, evidence)
    if top.runner_up_s is not None:
        at = float(evidence.shift_ms(top.runner_up_s))
        axes.plot(
            [at], [top.runner_up], "s", color=ORANGE, markeredgecolor=BLACK, markersize=8, zorder=4, label=f"runner-up: {signed(at)} ms"
        )
    sides = (
        (0.01, "left", "\N{LEFTWARDS ARROW} sound late: play it earlier"),
        (0.99, "right", "sound early: play it later \N{RIGHTWARDS ARROW}"),
    )
    for x, align, words in sides:
        axes.text(x, 0.96, words, transform=axes.transAxes, ha=align, va="top", fontsize=11, style="italic")
    _legend(axes, 5)


def _mark_peak(axes: Axes, evidence: Evidence) -> None:
    """The peak: an answer with its uncertainty, or only the best of what was tried."""
    report, top = evidence.report, evidence.peak
    assert top is not None
    delay_ms = report.audio_delay_ms if report.decided else None
    decided, at = delay_ms is not None, float(evidence.shift_ms(top.delay_s)) if delay_ms is None else -delay_ms
    words = f"peak: {signed(at)} ms" if decided else f"highest: {signed(at)} ms (a delay of {signed(-at)} ms), not sure"
    axes.axvline(at, color=RED, linewidth=1.5, linestyle="--" if decided else ":")
    marker, edge = ("v", BLACK) if decided else ("x", RED)
    axes.plot([at], [top.height], marker, color=RED, markeredgecolor=edge, markersize=11, zorder=4, label=words)
    half = report.uncertainty_ms
    if decided and half is not None:
        words = f"its uncertainty: \N{PLUS-MINUS SIGN}{half:.0f} ms"
        axes.axvspan(at - half, at + half, facecolor=RED, alpha=0.25, hatch="///", label=words)


class TimeLine:
    """Time of a film along the width of a picture. Long gaps that nobody looked at are drawn short, never left out.

    runs, gaps: (start, end) in s, what was looked at and what was not; together they cover the film.
    """

    def __init__(self, parts: tuple[Scores, ...], duration_s: float):
        self.runs: list[tuple[float, float]] = []
        for start, end in map(span, parts):
            if self.runs and start - self.runs[-1][1] < JOIN_S:
                start = self.runs.pop()[0]
            self.runs.append((start, end))
        edges = [0.0, *(t for run in self.runs for t in run), duration_s]
        self.gaps = [(a, b) for a, b in zip(edges[::2], edges[1::2]) if b - a >= JOIN_S]
        short = GAP_SHARE * sum(end - start for start, end in self.runs)
        knots = sorted({t for span in self.runs + self.gaps for t in span} | {0.0})
        lengths = [min(b - a, short) if (a, b) in self.gaps else b - a for a, b in zip(knots, knots[1:])]
        self.is_broken = any(b - a > short for a, b in self.gaps)
        self._knots, self._drawn = knots, np.concatenate([[0.0], np.cumsum(lengths)])

    def place(self, time_s: float | np.ndarray) -> np.ndarray:
        """Where times are drawn."""
        return np.interp(time_s, self._knots, self._drawn)

    def label(self, axes: Axes) -> None:
        """Ticks and name of the axis."""
        axes.set_xlim(0, max(float(self._drawn[-1]), 1 / FPS))
        if self.is_broken:
            ticks = np.array([start for start, _ in self.runs])[:: max(1, len(self.runs) // 10)]
            axes.set_xticks(self.place(ticks), [f"{t // 60:.0f}:{t % 60:02.0f}" for t in ticks.round()])
            axes.set_xlabel("time in the film (min:s); hatched: not looked at, and drawn shorter than it is")
        else:
            axes.set_xlabel("time in the film (s)" + ("; hatched: not looked at" if self.gaps else ""))

    def hatch(self, axes: Axes) -> None:
        """Cover what was not looked at."""
        for start, end in self.gaps:
            axes.axvspan(*self.place(np.array([start, end])), facecolor="white", edgecolor="gray", hatch="////", linewidth=0.5, zorder=3)


def span(part: Scores) -> tuple[float, float]:
    """Beginning and end in s of the pictures of a stretch."""
    return float(part.time_s[0]), float(part.time_s[-1]) + WINDOW_FRAMES / FPS


def by_picture(windows: np.ndarray) -> np.ndarray:
    """[windows, ...] -> [pictures, ...]: each picture gets the window that it is the middle of, the outermost get the nearest."""
    reach = WINDOW_FRAMES // 2
    return np.pad(windows, ((reach, reach), *((0, 0),) * (windows.ndim - 1)), mode="edge")


def _draw_heat(axes: Axes, evidence: Evidence, line: TimeLine) -> None:
    """Time x shift, P(in sync) as running mean over a second."""
    from matplotlib import colormaps

    axes.set_ylabel("shift of the sound (ms)\n\N{MINUS SIGN} earlier, + later")
    if not evidence.parts:
        _say(axes, "nothing was looked at")
        return
    colours = colormaps["viridis"].with_extremes(bad=(0, 0, 0, 0))
    axes.patch.set(facecolor="#e8e8e8", edgecolor="gray", hatch="xx")  # what shows where there is no face
    shifts = np.asarray(evidence.shift_ms(evidence.decision.delays * HOP_S))
    low, high = shifts.min() - 500 * HOP_S, shifts.max() + 500 * HOP_S
    for part in evidence.parts:
        smooth = by_picture(over_time(part.probability, evidence.config.curve)).T[::-1]  # the delays go up, so the shifts go down
        extent = (*line.place(np.array(span(part))), low, high)
        image = axes.imshow(smooth, extent=extent, origin="lower", aspect="auto", interpolation="nearest", cmap=colours, vmin=0, vmax=1)
    axes.set_ylim(low, high)
    line.hatch(axes)
    _draw_chosen(axes, evidence, line)
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.01, 0, 0.012, 1)))
    bar.set_label("P(in sync), 1 s mean\n(cross-hatched: no face)")
    axes.tick_params(labelbottom=False)


def _draw_chosen(axes: Axes, evidence: Evidence, line: TimeLine) -> None:
    """The shift that was chosen, or the line that it drifts along; and what each stretch says of its own."""
    from matplotlib.patheffects import withStroke

    report, edge = evidence.report, [withStroke(linewidth=3, foreground=BLACK)]
    times = np.concatenate([np.array(run) for run in line.runs])
    if report.decided and report.audio_delay_ms is not None:
        at, words = np.full(len(times), -report.audio_delay_ms), f"chosen: {signed(-report.audio_delay_ms)} ms"
    elif report.verdict == "drift" and report.drift_start_ms is not None and report.drift_ms_per_min is not None:
        at, words = -report.drift_start_ms - report.drift_ms_per_min * times / 60, "drifts along this line"
    else:
        at = None
    if at is not None:
        axes.plot(line.place(times), at, color="white", linestyle=(0, (5, 15)), linewidth=1.5, path_effects=edge, label=words)
    told = [s for s in report.segments if s.delay_s is not None]
    if len(report.segments) > 1 and told:
        middles = line.place(np.array([(s.start_s + s.end_s) / 2 for s in told]))
        own = [-1000 * s.delay_s for s in told if s.delay_s is not None]
        axes.plot(middles, own, "o", color=ORANGE, markeredgecolor=BLACK, markersize=7, label="a stretch's own answer")
    if at is not None or (len(report.segments) > 1 and told):
        axes.legend(loc="upper right", fontsize=10, framealpha=0.9, facecolor="#b0b0b0")  # grey, for the line is white


def _draw_strip(axes: Axes, evidence: Evidence, line: TimeLine) -> None:
    """When somebody speaks, when a face is seen, and when what is heard belongs to no mouth that is seen."""
    colours = (("speaking", BLUE), ("face seen", GREEN), ("offscreen", RED))
    axes.set_ylim(-0.1, len(colours) - 0.1)
    axes.invert_yaxis()
    axes.set_yticks([row + 0.4 for row in range(len(colours))], [name for name, _ in colours])
    axes.tick_params(axis="y", length=0)
    for part, flags in zip(evidence.parts, when(evidence)):
        for row, (flag, (_, colour)) in enumerate(zip(flags, colours)):
            runs = line.place(part.time_s[0] + _runs(by_picture(flag)) / FPS)
            axes.broken_barh([(start, end - start) for start, end in runs], (row, 0.8), facecolor=colour)
    line.label(axes)
    line.hatch(axes)


def when(evidence: Evidence) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each stretch, bool [frames] each: speaking, face seen, offscreen, the last as `offscreen_ratio` counts it."""
    if not evidence.parts:
        return []
    scores, top = Scores.join(list(evidence.parts)), evidence.peak
    speaking, seen = scores.weight > 0, seen_at_all(scores)
    fits = np.nan_to_num(at_delay(scores, top.delay_s, evidence.config.curve)) if top else np.zeros(len(speaking))
    cuts = np.cumsum([len(part.weight) for part in evidence.parts])[:-1]
    return list(zip(*(np.split(flag, cuts) for flag in (speaking, seen, speaking & (fits < 0.5)))))


def _runs(flag: np.ndarray) -> np.ndarray:
    """Where `flag` [n] is set: int [runs, 2], first index and the one after the last."""
    return np.flatnonzero(np.diff(np.concatenate([[False], flag, [False]]).astype(int))).reshape(-1, 2)


def _draw_mouths(cells: list[Axes], evidence: Evidence) -> None:
    """The mouths that told most, five pictures each: one look of the network."""
    top = evidence.peak
    for cell in cells:
        cell.set_axis_off()
    if not evidence.moments or top is None:
        _say(cells[len(cells) // 2], "no mouth was seen that tells anything")
        return
    what = "that decided" if evidence.report.decided else "that fit best"
    cells[0].set_title(
        f"mouths {what}: {WINDOW_FRAMES} pictures in a row, {1000 * WINDOW_FRAMES // FPS} ms", loc="left", fontsize=11, y=1.22
    )
    for cell, moment in zip(cells, sorted(evidence.moments[: len(cells)], key=lambda m: m.time_s)):
        cell.imshow(_row(moment), cmap="gray", vmin=0, vmax=255)
        cell.text(
            0, 1.04, f"at {moment.time_s:.2f} s, P(in sync) {moment.probability[top.index]:.2f}", transform=cell.transAxes, va="bottom"
        )


def _row(moment: Moment) -> np.ndarray:
    """The pictures of a moment side by side, white between: uint8 [size, 5 size + 8]."""
    white = np.full((moment.crops.shape[1], 2), 255, np.uint8)
    return np.hstack([piece for crop in moment.crops for piece in (crop, white)][:-1])


def _figure(width: int, height: int) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")


def _legend(axes: Axes, columns: int) -> None:
    """Above the axes, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=10, frameon=False, borderaxespad=0.2)


def _say(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=12)
