"""Published clips are often out of sync themselves: their delays by our own network, to train on instead.

The clips are never touched; the delays lie in the cache, beside its index.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import curve as curves
from ..curve import AnyScores, Scores
from ..decide import certainty
from ..errors import DataError
from .cache import Entry

SURE = 0.9  # certainty from which the network's own answer is believed
SAME_MS = 30.0  # delays nearer than this are one delay
SECONDS = 12.0  # of each track are enough to tell its delay


class Answer(NamedTuple):
    """What the network says of some scores: delay in ms, None without speech, and its certainty."""

    delay_ms: float | None
    sure: float


def answer(scores: AnyScores) -> Answer:
    """The peak of the curve of one track, or of several joined."""
    values = curves.curve(scores)
    if np.isnan(values).all():
        return Answer(None, 0.0)
    top = curves.peak(values, scores.delays)
    return Answer(round(1000 * top.delay_s, 1), certainty(scores, values, top))


def repair(tracks: list[tuple[Entry, Scores]], least: float = SURE, trusted: tuple[str, ...] = ()) -> dict[str, float | None]:
    """Each track's own delay in ms, None where nothing is sure enough to train on.

    A track is asked alone, then all tracks of its speaker together (clips of one video are late
    alike), and what is sure with at least `least` counts. Otherwise the index's delay does, if the
    network does not contradict it: for a clip of one second the index, which knows the clip's whole
    group, is the better witness. Within SAME_MS of each other the index is kept. trusted: sources whose
    index is right by other means; they hold the network's zero in place over rounds of repair.
    """
    alone = {entry.name: answer(scores) for entry, scores in tracks}
    together = _by_speaker(tracks, alone, least)
    return {
        e.name: e.delay_ms if e.source in trusted else _choose(e.delay_ms, alone[e.name], together.get(e.name), least) for e, _ in tracks
    }


def _by_speaker(tracks: list[tuple[Entry, Scores]], alone: dict[str, Answer], least: float) -> dict[str, Answer]:
    """Answer for all tracks of one speaker, where those that are sure alone do not contradict it."""
    groups: dict[str, list[tuple[Entry, Scores]]] = defaultdict(list)
    for entry, scores in tracks:
        if entry.speaker != "unknown":
            groups[entry.source + entry.speaker].append((entry, scores))
    out = {}
    for group in groups.values():
        found = answer(Scores.join([scores for _, scores in group]))
        sure = [a.delay_ms for a in (alone[entry.name] for entry, _ in group) if a.delay_ms is not None and a.sure >= least]
        if len(group) > 1 and found.delay_ms is not None and found.sure >= least and all(abs(d - found.delay_ms) <= SAME_MS for d in sure):
            out.update({entry.name: found for entry, _ in group})
    return out


def _choose(told: float | None, alone: Answer, together: Answer | None, least: float) -> float | None:
    found = alone if alone.sure >= least or together is None else together
    if found.delay_ms is None:
        return None
    apart = np.inf if told is None else abs(found.delay_ms - told)
    if apart > SAME_MS and found.sure >= least:
        return found.delay_ms
    return told if apart <= 2 * SAME_MS else None


def summary(entries: list[Entry], before: dict[str, float | None], after: dict[str, float | None]) -> dict[str, Counter]:
    """What a repair did, by source: tracks kept, moved (by more than SAME_MS), found (none before) and left_out."""
    out: dict[str, Counter] = defaultdict(Counter)
    for e in entries:
        old, new = before.get(e.name), after.get(e.name)
        if new is None:
            kind = "left_out"
        elif old is None:
            kind = "found"
        else:
            kind = "moved" if abs(new - old) > SAME_MS else "kept"
        out[e.source][kind] += 1
    return dict(out)


def read_delays(cache: Path) -> dict[str, float | None] | None:
    """The repaired delays of a cache, None where it was never repaired. Raises DataError."""
    path = cache / "delays.json"
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise DataError(f"{path}: cannot be read ({e}); remove it, or repair the cache again") from e


def write_delays(cache: Path, delays: dict[str, float | None]) -> None:
    """Keep repaired delays in the cache."""
    (cache / "delays.json").write_text(json.dumps(delays, indent=0))
