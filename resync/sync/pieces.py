"""Where the delay jumps: the video divided into pieces of one delay each.

A hidden Markov model over blocks of windows: a delay, and whether somebody visible speaks. Where nobody does, no delay gains or
loses anything, so that a voice-over does not pass for a delay of its own. Every jump costs as much as a piece must gain to be
believed. NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import FPS, HOP_S, WINDOW_FRAMES, CurveConfig, DecideConfig
from ..smoothing import expit, gaussian_filter
from .curve import AnyScores, find_peak, mean_curve
from .drift import Blocks, blocks_of

SAME_S = 0.03  # delays this near belong to the same peak: its slopes are further off
APART_S = 0.12  # delays further apart than this belong to different peaks


@dataclass(frozen=True)
class PiecesConfig:
    """When a change of the delay is a jump. Evidence is in nats."""

    max_spread_s: float = 0.07  # a smaller change is no jump: people differ by some 20 ms among themselves
    evidence: float = 0.17  # per unit of summed log-odds: windows overlap (measured: 5 windows are worth 1.7)
    jump_cost: float = 8.0  # with 201 delays to choose from; the log of their number counts
    pause_cost: float = 2.0  # of a change between speech on and off screen
    min_lead: float = 4.0  # log-odds of the delay of a piece against all others in it together
    quiet_gain: float = 0.5  # for a change between two windows of silence instead of two of active audio, half of it
    interval: float = 3.0  # by which the changes in the interval of a jump are less likely than the best one
    min_speech_s: float = 1.0  # of a piece, at its delay
    uncertainty_floor_s: float = DecideConfig.uncertainty_floor_s
    max_size: int = 10**8  # windows x delays that blocks of 0.2 s are used for; the blocks of more are longer, to save memory
    wanted_s: float = 0.5  # a jump is known well enough if its interval is this long


@dataclass(frozen=True)
class Piece:
    """A piece of the timeline with one delay.

    start_s, end_s: on the video's clock; delay_s: at start_s (it changes from there by the slope that was given);
    uncertainty_s: half-width of its 90 % interval; certainty: 0..1, that the delay is the true one.
    """

    start_s: float
    end_s: float
    delay_s: float
    uncertainty_s: float
    certainty: float


@dataclass(frozen=True)
class Jump:
    """A change of the delay by size_s (positive: the audio gets later), placed at at_s; it lies between earliest_s and latest_s."""

    at_s: float
    earliest_s: float
    latest_s: float
    size_s: float


@dataclass(frozen=True)
class Pieces:
    """The pieces of a video, in order, and the jumps between them (one fewer)."""

    pieces: tuple[Piece, ...]
    jumps: tuple[Jump, ...]


def find_pieces(
    scores: AnyScores, slope: float = 0.0, config: PiecesConfig = PiecesConfig(), smooth: CurveConfig = CurveConfig()
) -> Pieces:
    """The most probable division of a video into pieces of one delay each; no pieces where nothing can be compared.

    slope: s per s by which the delay drifts in every piece. A video with one delay is one piece, however uncertain; of
    several, each has a clear best delay of its own, or returns to the delay of one that has.
    """
    size = sum(segment.probability.size for segment in scores.segments)
    windows = WINDOW_FRAMES * (1 + size // config.max_size)
    blocks = blocks_of(scores, windows).sheared(slope)
    if not blocks.weight.any():
        return Pieces((), ())
    view = _view(blocks, windows / FPS, len(scores.delays), config)
    evidence = view.evidence.copy()
    while (runs := _best_runs(view, evidence, config))[1:] and (unclear := _least_clear(view, runs, config)):
        rows = evidence[unclear.start : unclear.stop]
        if not (rows > 0).any():
            break
        for_it = view.near(unclear.column, config.max_spread_s) & (rows > 0)
        rows[for_it if for_it.any() else rows > 0] = 0
    jumps = tuple(_jump(scores, view, slope, (before, after), config) for before, after in zip(runs, runs[1:]))
    cuts = [float(scores.segments[0].time_s[0])]
    for at_s in (*(jump.at_s for jump in jumps), float(scores.segments[-1].time_s[-1]) + WINDOW_FRAMES / FPS):
        cuts.append(max(at_s, cuts[-1] + 1 / FPS))
    return Pieces(tuple(_piece(view, slope, run, span, config, smooth) for run, span in zip(runs, zip(cuts, cuts[1:]))), jumps)


def next_span(
    jumps: Sequence[Jump], analysed: Sequence[tuple[float, float]], length_s: float = 6.0, config: PiecesConfig = PiecesConfig()
) -> tuple[float, float] | None:
    """The span (start, end) in s to analyse next, to find a jump to within `wanted_s`; None where that would tell nothing more.

    analysed: (start, end) of all segments so far. It is the middle of the longest span not analysed in which a jump may lie, so
    that every call halves it where somebody speaks; the caller bounds the number of calls.
    """
    gaps = []
    for jump in jumps:
        if jump.latest_s - jump.earliest_s > config.wanted_s:
            at = jump.earliest_s
            for start, end in [*sorted(analysed), (jump.latest_s, jump.latest_s)]:
                gaps.append((min(start, jump.latest_s) - at, at))
                at = max(at, end)
    longest, start = max(gaps, default=(0.0, 0.0))
    if longest <= config.wanted_s:
        return None
    skip = max(0.0, longest - length_s) / 2
    return start + skip, start + longest - skip


@dataclass(frozen=True)
class _View:
    """Blocks on one grid of delays (hops), counted from the line of the common slope.

    starts, stops: [b] in s; evidence: float32 [b, d] in nats; odds, weight: [b, d]; delays: [d].
    """

    starts: np.ndarray
    stops: np.ndarray
    evidence: np.ndarray
    odds: np.ndarray
    weight: np.ndarray
    delays: np.ndarray

    def near(self, column: int, apart_s: float) -> np.ndarray:
        """Columns within `apart_s` of one: bool [d]."""
        return np.abs(self.delays - self.delays[column]) * HOP_S <= apart_s + 1e-9


@dataclass(frozen=True)
class _Run:
    """Blocks from `start` up to `stop` with one delay, given by its column; speaks: bool [stop - start], somebody visible does."""

    start: int
    stop: int
    column: int
    speaks: np.ndarray


def _view(blocks: Blocks, length_s: float, width: int, config: PiecesConfig) -> _View:
    low, high = int(blocks.first.min()), int(blocks.first.max()) + width
    if high - low > width:  # the slope moves delays out of the range; as many as were tested are kept around the best one
        low = int(np.clip(blocks.best_delay(config.evidence) - width // 2, low, high - width))
    delays = low + np.arange(width)
    odds, weight = blocks.on_grid(delays)
    starts, stops = blocks.time_s - length_s / 2, blocks.time_s + length_s / 2
    evidence = config.evidence * gaussian_filter(odds, 1.5)
    return _View(starts, stops, evidence, odds, weight, delays)


def _gains(evidence: np.ndarray, pause_cost: float) -> np.ndarray:
    """What each delay gains up to each block if it is the delay of all of them, 0 where nobody visible speaks: [b, d] from [b, d]."""
    gains = np.empty_like(evidence)
    on = off = np.zeros(evidence.shape[1], evidence.dtype)
    for row, own in enumerate(evidence):
        on, off = own + np.maximum(on, off - pause_cost), np.maximum(off, on - pause_cost)
        gains[row] = np.maximum(on, off)
    return gains


def _best_runs(view: _View, evidence: np.ndarray, config: PiecesConfig) -> list[_Run]:
    """The most probable path through blocks and delays (Viterbi), as runs of one delay; evidence: of the view, or less."""
    gains, jump_cost = _gains(evidence, config.pause_cost)[-1], config.jump_cost + np.log(len(view.delays) / 201)
    columns = np.flatnonzero((gains >= jump_cost) | (gains == gains.max()))  # no other can pay for a jump
    own = evidence[:, columns]
    best = np.zeros((len(own) + 1, len(columns)))  # of all paths that end here
    ends_on = np.ones(best.shape, bool)  # somebody visible speaks at its end
    on_from = np.zeros(own.shape, np.uint8)  # 0: the same delay, on; 1: the same, off; 2: the best delay
    off_from = np.zeros(own.shape, np.uint8)
    on = off = best[0]
    for row, gain in enumerate(own):
        options = np.stack([on, off - config.pause_cost, np.full(len(columns), best[row].max() - jump_cost)])
        on_from[row], off_from[row] = options.argmax(0), off >= on - config.pause_cost
        on, off = gain + options.max(0), np.maximum(off, on - config.pause_cost)
        best[row + 1], ends_on[row + 1] = np.maximum(on, off), on >= off
    at, stop = int(best[-1].argmax()), len(own)
    speaking = bool(ends_on[-1, at])
    speaks = np.zeros(stop, bool)
    runs: list[_Run] = []
    for row in range(stop - 1, -1, -1):  # back along the best path
        speaks[row] = speaking
        came = int(on_from[row, at] if speaking else off_from[row, at])
        if came == 2:
            runs.append(_Run(row, stop, int(columns[at]), speaks[row:stop]))
            at, stop = int(best[row].argmax()), row
            came = 0 if ends_on[row, at] else 1
        speaking = came == 0
    return _merged(view, [*runs, _Run(0, stop, int(columns[at]), speaks[:stop])][::-1], config)


def _merged(view: _View, runs: list[_Run], config: PiecesConfig) -> list[_Run]:
    """Neighbours whose delays differ by less than a jump as one run, with the delay of the longer speech."""
    merged = runs[:1]
    for run in runs[1:]:
        last = merged[-1]
        if view.near(last.column, config.max_spread_s)[run.column]:
            longer = max(last, run, key=lambda run: run.speaks.sum())
            run = _Run(last.start, run.stop, longer.column, np.concatenate([last.speaks, run.speaks]))
            merged.pop()
        merged.append(run)
    return merged


def _least_clear(view: _View, runs: list[_Run], config: PiecesConfig) -> _Run | None:
    """The run whose delay is least clear in it, None where all are clear enough; the delay of a clear run may return less clearly."""
    leads = [_lead(view, run, config) for run in runs]
    clear = np.zeros(len(view.delays), bool)
    for run, lead in zip(runs, leads):
        if lead >= config.min_lead:
            clear |= view.near(run.column, SAME_S)
    needed = [config.min_lead / 2 if clear[run.column] else config.min_lead for run in runs]
    lacking = [lead - need for lead, need in zip(leads, needed)]
    return runs[int(np.argmin(lacking))] if min(lacking) < 0 else None


def _lead(view: _View, run: _Run, config: PiecesConfig) -> float:
    """Log-odds of the delay of a run against all others in it together; -inf with too little speech."""
    if view.weight[run.start : run.stop, run.column][run.speaks].sum() < config.min_speech_s * FPS:
        return -np.inf
    return _advantage(view, run, config)


def _advantage(view: _View, run: _Run, config: PiecesConfig) -> float:
    gains = _gains(view.evidence[run.start : run.stop], config.pause_cost)[-1]
    rivals = gains[~view.near(run.column, APART_S)]
    return float(gains[run.column] - np.logaddexp.reduce(rivals)) if len(rivals) else np.inf


def _jump(scores: AnyScores, view: _View, slope: float, runs: tuple[_Run, _Run], config: PiecesConfig) -> Jump:
    """The jump between two runs, where it is most probable; its interval holds every time that is nearly as probable.

    Where the delay falls, audio is missing for as long as it falls: the run before ends, and that after begins so much later.
    """
    before, after = runs
    # Somebody speaks before and after it.
    rows = slice(before.start + int(np.argmax(before.speaks)), after.stop - int(np.argmax(after.speaks[::-1])))
    size_s = HOP_S * float(view.delays[after.column] - view.delays[before.column])
    starts, stops = view.starts[rows], view.stops[rows]
    forward = _gains(view.evidence[rows, [before.column]], config.pause_cost)[:, 0]
    backward = _gains(view.evidence[rows, [after.column]][::-1], config.pause_cost)[::-1, 0]
    resumed = np.searchsorted(starts, stops - 1e-3 + max(0.0, -size_s))[:-1]  # the first block after a jump that follows each block
    gain = forward[:-1] + np.append(backward, 0.0)[resumed]
    likely = np.flatnonzero(gain >= gain.max() - config.interval)
    ends, resumes = stops[:-1], np.maximum(np.append(starts, stops[-1])[resumed], stops[:-1] + max(0.0, -size_s))
    # A window has the share of active audio from its start on: that before the cut is of the window that ends there.
    spans = ((before, ends - WINDOW_FRAMES / FPS), (after, resumes))
    activity = sum(_activity(scores, slope, int(view.delays[run.column]), times[likely]) for run, times in spans)
    worth = gain[likely] - config.quiet_gain * activity
    ties = likely[worth >= worth.max() - 1e-3]  # where nothing is visible or audible
    best = ties[len(ties) // 2]
    return Jump(float(ends[best] + resumes[best]) / 2, float(ends[likely[0]]), float(resumes[likely[-1]]), size_s)


def _activity(scores: AnyScores, slope: float, hop: int, times: np.ndarray) -> np.ndarray:
    """Share of active audio in the windows that start at these times, at one delay (hops, at time zero): [n]; a half where unknown."""
    share = np.full(len(times), 0.5)
    for segment in scores.segments:
        rows = np.searchsorted(segment.time_s, times - 0.5 / FPS)
        known = (times > segment.time_s[0] - 0.5 / FPS) & (rows < len(segment.time_s))
        columns = hop + np.round(slope * times / HOP_S).astype(int) - int(segment.delays[0])
        known &= (columns >= 0) & (columns < len(segment.delays))
        share[known] = segment.speech[rows[known], columns[known]]
    return share


def _piece(view: _View, slope: float, run: _Run, span: tuple[float, float], config: PiecesConfig, smooth: CurveConfig) -> Piece:
    """The delay of a run, by the blocks in which somebody visible speaks."""
    rows = np.arange(run.start, run.stop)[run.speaks] if run.speaks.any() else np.arange(run.start, run.stop)
    # Seconds are nearly independent witnesses, neighbouring blocks are not.
    starts = np.arange(0, len(rows), max(1, round(1 / (view.stops[0] - view.starts[0]))))
    near = view.near(run.column, APART_S)
    odds, weight = (np.add.reduceat(x[rows][:, near], starts, axis=0).astype(float) for x in (view.odds, view.weight))
    delay_s = _peak(odds.sum(0), weight.sum(0), view.delays[near], smooth)
    drawn = np.random.default_rng(0).multinomial(len(odds), np.full(len(odds), 1 / len(odds)), size=60).astype(float)
    low, high = np.percentile([_peak(o, w, view.delays[near], smooth) for o, w in zip(drawn @ odds, drawn @ weight)], [5, 95])
    uncertainty_s = float(np.hypot((high - low) / 2 + HOP_S / 2, config.uncertainty_floor_s))
    return Piece(*span, delay_s + slope * span[0], uncertainty_s, float(expit(_advantage(view, run, config))))


def _peak(odds: np.ndarray, weight: np.ndarray, delays: np.ndarray, smooth: CurveConfig) -> float:
    values = mean_curve(odds, weight, smooth)
    return find_peak(values, delays).delay_s if np.isfinite(values).all() else HOP_S * float(delays[len(delays) // 2])
