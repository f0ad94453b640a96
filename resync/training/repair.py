"""Each training clip's own delay, measured by our network: published clips are often out of sync themselves.

The clips stay as they are; the delays are stored in the cache, next to its index.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config import DecisionRule
from ..errors import DataError
from ..sync.certainty import certainty
from ..sync.curve import AnyScores, Scores, find_peak, probability_curve
from .cache import Entry

MIN_CERTAINTY = 0.9  # estimates below this certainty are not used
SAME_MS = 30.0  # delays closer than this count as equal
SECONDS = 12.0  # of each track are enough to measure its delay


class Estimate(NamedTuple):
    """The network's estimate: delay in ms, None without speech, and its certainty (0..1)."""

    delay_ms: float | None
    certainty: float

    def is_certain(self, min_certainty: float) -> bool:
        """Whether there is a delay and its certainty reaches the threshold."""
        return self.delay_ms is not None and self.certainty >= min_certainty


def estimate_delay(scores: AnyScores, rule: DecisionRule = DecisionRule()) -> Estimate:
    """The peak of the probability curve of one track, or of several joined."""
    values = probability_curve(scores)
    if np.isnan(values).all():
        return Estimate(None, 0.0)
    peak = find_peak(values, scores.delays)
    return Estimate(round(1000 * peak.delay_s, 1), certainty(values, peak, scores.delays, rule))


def repair_delays(
    tracks: list[tuple[Entry, Scores]],
    rule: DecisionRule = DecisionRule(),
    min_certainty: float = MIN_CERTAINTY,
    trusted: tuple[str, ...] = (),
) -> dict[str, float | None]:
    """Delay of each track in ms by name, None where none is reliable enough to train on.

    Each track is measured alone, then together with all tracks of its speaker (clips cut from one
    video share its delay). An estimate counts from min_certainty on. Below it, the index's delay is kept unless the
    network contradicts it: for a clip of one second the index, which covers the clip's whole
    group, is more reliable. Estimates within SAME_MS of the index keep the index's delay.
    trusted: sources whose index is known to be correct; they anchor the network's zero over several rounds of repair.
    """
    alone = {entry.name: estimate_delay(scores, rule) for entry, scores in tracks}
    joint = _joint_estimates(tracks, alone, rule, min_certainty)
    delays = {}
    for entry, _ in tracks:
        if entry.source in trusted:
            delays[entry.name] = entry.delay_ms
        else:
            delays[entry.name] = _choose(entry.delay_ms, alone[entry.name], joint.get(entry.name), min_certainty)
    return delays


def _joint_estimates(
    tracks: list[tuple[Entry, Scores]], alone: dict[str, Estimate], rule: DecisionRule, min_certainty: float
) -> dict[str, Estimate]:
    """Estimate over all tracks of a speaker, by track name, unless a certain estimate of one track contradicts it."""
    speakers: dict[str, list[tuple[Entry, Scores]]] = defaultdict(list)
    for entry, scores in tracks:
        if entry.speaker != "unknown":
            speakers[entry.source + entry.speaker].append((entry, scores))
    joint = {}
    for group in speakers.values():
        estimate = estimate_delay(Scores.join([scores for _, scores in group]), rule)
        if len(group) == 1 or not estimate.is_certain(min_certainty):
            continue
        single = [alone[entry.name] for entry, _ in group]
        if all(_distance_ms(s.delay_ms, estimate.delay_ms) <= SAME_MS for s in single if s.is_certain(min_certainty)):
            joint.update({entry.name: estimate for entry, _ in group})
    return joint


def _choose(index_ms: float | None, alone: Estimate, joint: Estimate | None, min_certainty: float) -> float | None:
    """The delay to train with, from the index's delay and the two estimates."""
    estimate = alone if alone.certainty >= min_certainty or joint is None else joint
    if estimate.delay_ms is None:
        return None
    distance = _distance_ms(index_ms, estimate.delay_ms)
    if distance > SAME_MS and estimate.certainty >= min_certainty:
        return estimate.delay_ms
    return index_ms if distance <= 2 * SAME_MS else None


def _distance_ms(a: float | None, b: float | None) -> float:
    """Distance of two delays, infinite if one is unknown."""
    return np.inf if a is None or b is None else abs(a - b)


def count_changes(entries: list[Entry], before: dict[str, float | None], after: dict[str, float | None]) -> dict[str, Counter]:
    """What a repair changed, by source: tracks kept, corrected (by more than SAME_MS), new (unknown before) and dropped."""
    changes: dict[str, Counter] = defaultdict(Counter)
    for entry in entries:
        old, new = before.get(entry.name), after.get(entry.name)
        if new is None:
            kind = "dropped"
        elif old is None:
            kind = "new"
        else:
            kind = "corrected" if abs(new - old) > SAME_MS else "kept"
        changes[entry.source][kind] += 1
    return dict(changes)


def read_delays(cache: Path) -> dict[str, float | None] | None:
    """The repaired delays of a cache by track name, None if it was never repaired. Raises DataError."""
    path = cache / "delays.json"
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{path}: cannot read ({e}); delete it, or run resync prepare --repair again") from e


def write_delays(cache: Path, delays: dict[str, float | None]) -> None:
    """Store repaired delays in the cache."""
    (cache / "delays.json").write_text(json.dumps(delays, indent=0))
