"""The kinds of edited videos that `edited.py` builds: each a function from clips to shots."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import framings
import numpy as np
from edits import DELAYS_MS, FPS, SAMPLES, Clip, Edit, FrameAt, Framing, Shot, Take, seed_of
from framings import CAMERAS, framed, looking


class Material:
    """Clips to draw from. Every draw is repeatable, and no speaker is drawn twice for one video."""

    def __init__(self, clips: list[Clip], seed: int):
        self.rng = np.random.default_rng(seed)
        self._clips = [clips[i] for i in self.rng.permutation(len(clips))]
        self._used: set[str] = set()

    def take(self, least_s: float, most_s: float, speaker: str | None = None) -> Take:
        """A random part of a clip of a new speaker, as long as possible. Raises StopIteration if there is none."""
        fits = (c for c in self._clips if c.count >= least_s * FPS and c.speaker not in self._used)
        clip = next(c for c in fits if speaker is None or c.speaker == speaker)
        self._used.add(clip.speaker)
        count = min(clip.count, round(most_s * FPS))
        return Take(clip, int(self.rng.integers(0, clip.count - count + 1)), count)

    def lengths(self, low_s: float, high_s: float) -> Iterator[int]:
        """Random numbers of frames."""
        while True:
            yield int(self.rng.integers(round(low_s * FPS), round(high_s * FPS) + 1))


def shot(take: Take, look: Framing = framed(), fade: int = 0) -> Shot:
    """The speaker of the take, visible and audible."""
    return Shot(take.count, looking(take, look), take.audio, (take.clip.speaker,), take.clip.speaker, True, fade)


def single(m: Material) -> list[Shot]:
    return [shot(m.take(12, 35))]


def cuts(m: Material) -> list[Shot]:
    takes = m.take(14, 35).split(m.lengths(1.5, 5))
    return [shot(take, CAMERAS[i % len(CAMERAS)]) for i, take in enumerate(takes)]


def dialogue(m: Material, fade: bool = False) -> list[Shot]:
    takes = [m.take(7, 18).split(m.lengths(2.5, 6)) for _ in range(2)]
    turns = [takes[i % 2][i // 2] for i in range(2 * min(map(len, takes)))]
    fades = m.lengths(0.5, 1)
    return [shot(take, CAMERAS[i % 2 * 4 + i // 2 % 2], next(fades) if fade and i else 0) for i, take in enumerate(turns)]


def dissolves(m: Material) -> list[Shot]:
    """One speaker from several cameras in one half of the videos, two people in the other."""
    if m.rng.random() < 0.5:
        return dialogue(m, fade=True)
    fades, takes = m.lengths(0.5, 1), m.take(14, 30).split(m.lengths(2, 5))
    return [shot(take, CAMERAS[i % len(CAMERAS)], next(fades) if i else 0) for i, take in enumerate(takes)]


def side_by_side(m: Material) -> list[Shot]:
    """Both are visible all the time. The one who listens holds still and sways, or moves the lips in silence."""
    both, still, out = [m.take(12, 30), m.take(12, 30)], m.rng.random() < 0.5, []
    names = tuple(take.clip.speaker for take in both)
    turns = Take(both[0].clip, 0, min(take.count for take in both)).split(m.lengths(3, 6))
    for i, turn in enumerate(turns):
        takes = [Take(take.clip, take.start + turn.start, turn.count) for take in both]

        def frame_at(k: int, takes: list[Take] = takes, speaking: int = i % 2) -> np.ndarray:
            halves = []
            for j, take in enumerate(takes):
                held = still and j != speaking
                square = take.square(0 if held else k)
                sway = round(4 * np.sin(k / 12)) if held else 0
                halves.append(np.roll(square, sway, axis=1)[:, 20:340])
            return np.concatenate(halves, axis=1)

        out.append(Shot(turn.count, frame_at, takes[i % 2].audio, names, names[i % 2], True))
    return out


def cutaways(m: Material, others: Callable[[Material, int], tuple[FrameAt, tuple[str, ...]]]) -> list[Shot]:
    """The voice goes on while something else is seen, for 30 to 60 % of the time."""
    voice, share, out = m.take(14, 35), m.rng.uniform(0.3, 0.6), []
    away, seen = 0, 0
    for i, take in enumerate(voice.split(m.lengths(1.5, 4))):
        if i and away < share * (away + seen + take.count):
            frame_at, faces = others(m, take.count)
            out.append(Shot(take.count, frame_at, take.audio, faces, take.clip.speaker, False))
            away += take.count
        else:
            out.append(shot(take))
            seen += take.count
    return out


def somebody_else(m: Material, count: int) -> tuple[FrameAt, tuple[str, ...]]:
    other = m.take(3, count / FPS)
    return looking(other, CAMERAS[int(m.rng.integers(len(CAMERAS)))]), (other.clip.speaker,)


def no_speaker(m: Material, count: int) -> tuple[FrameAt, tuple[str, ...]]:
    """A scene without a face, or a photograph of somebody."""
    if m.rng.random() < 0.65:
        return framings.scenery(int(m.rng.integers(1000))), ()
    other = m.take(3, 3)
    return framings.portrait(other.clip), (other.clip.speaker,)


def small(m: Material) -> list[Shot]:
    return [shot(m.take(14, 30), framings.small(int(m.rng.integers(1000))))]


def subtitles(m: Material) -> list[Shot]:
    return [shot(m.take(14, 30), framings.subtitled(int(m.rng.integers(1000)), bool(m.rng.random() < 0.5)))]


def tilted(m: Material) -> list[Shot]:
    """Rotated by 15 degrees; in one half of the videos narrowed as well."""
    return [shot(m.take(14, 30), framings.rotated(float(m.rng.choice([-15, 15])), 1.0 if m.rng.random() < 0.5 else 0.65))]


def mixed(m: Material) -> list[Shot]:
    """One voice; cuts and dissolves between cameras, small faces, subtitles, other people and scenery, as in an advertisement."""
    views = [*CAMERAS, framings.small(int(m.rng.integers(1000))), framings.subtitled(int(m.rng.integers(1000)), False)]
    fades, out = m.lengths(0.5, 1), []
    for i, take in enumerate(m.take(18, 40).split(m.lengths(1.2, 3.5))):
        fade = next(fades) if i and m.rng.random() < 0.4 else 0
        if m.rng.random() < 0.6:
            out.append(shot(take, views[int(m.rng.integers(len(views)))], fade))
            continue
        frame_at, faces = (somebody_else if m.rng.random() < 0.5 else no_speaker)(m, take.count)
        out.append(Shot(take.count, frame_at, take.audio, faces, take.clip.speaker, False, fade))
    return out


def other_voice(m: Material, shots: list[Shot], one_voice: bool) -> list[Shot]:
    """The same shots with other people's voices: one for all of them, or another one each."""
    total = sum(s.count for s in shots)
    voice = np.zeros(0, np.float32)
    speakers: list[str] = []
    if one_voice:
        take = m.take(10, total / FPS)
        return _voiced(shots, np.resize(take.audio, total * SAMPLES), [take.clip.speaker] * len(shots))
    for s in shots:
        take = m.take(3, s.count / FPS)
        voice = np.append(voice, np.resize(take.audio, s.count * SAMPLES))
        speakers.append(take.clip.speaker)
    return _voiced(shots, voice, speakers)


def _voiced(shots: list[Shot], voice: np.ndarray, speakers: list[str]) -> list[Shot]:
    out, at = [], 0
    for s, speaker in zip(shots, speakers):
        out.append(Shot(s.count, s.frame_at, voice[at : at + s.count * SAMPLES], s.faces, speaker, False, s.fade))
        at += s.count * SAMPLES
    return out


def long_single(m: Material) -> list[Shot]:
    """One speaker for as long as possible, else two."""
    first = m.take(12, 60)
    return [shot(first)] if first.count >= 35 * FPS else [shot(first), shot(m.take(12, 60))]


KINDS: dict[str, Callable[[Material], list[Shot]]] = {
    "single": single,
    "cuts": cuts,
    "dialogue": dialogue,
    "side_by_side": side_by_side,
    "cutaways": lambda m: cutaways(m, somebody_else),
    "scenery": lambda m: cutaways(m, no_speaker),
    "music_12": single,
    "music_6": single,
    "dissolves": dissolves,
    "small": small,
    "subtitles": subtitles,
    "tilted": tilted,
    "mixed": mixed,
    "wrong_voice": lambda m: other_voice(m, cuts(m) if m.rng.random() < 0.5 else dialogue(m), True),
    "dubbed": lambda m: other_voice(m, cuts(m) if m.rng.random() < 0.5 else dialogue(m), False),
    "jump": long_single,
    "drift_1001": long_single,
    "drift_25_24": long_single,
}
MUSIC_DB = {"music_12": -12, "music_6": -6, "mixed": -12}
RATIOS = {"drift_1001": 1001 / 1000, "drift_25_24": 25 / 24}
JUMPS_MS = (-400, 200, 1000, -700, 300, -250)


def build(kind: str, i: int, clips: list[Clip]) -> Edit:
    """Video number i of a kind. Raises StopIteration if there are too few clips."""
    seed = seed_of(kind, i)
    m = Material(clips, seed)
    shots = KINDS[kind](m)
    count = sum(s.count for s in shots)
    pieces = [(0.0, DELAYS_MS[(i + seed_of(kind)) % len(DELAYS_MS)])]
    if kind == "jump":
        jump = JUMPS_MS[i % len(JUMPS_MS)]
        first = int(np.clip(pieces[0][1], max(-900, -900 - jump), min(900, 900 - jump)))
        pieces = [(0.0, first), (round(count * m.rng.uniform(0.4, 0.6)) / FPS, first + jump)]
    if kind in RATIOS:  # the middle of the video has the delay that was drawn, if that keeps all of it within 900 ms
        whole = 1000 * (RATIOS[kind] - 1) * count / FPS
        pieces = [(0.0, round(np.clip(pieces[0][1] - whole / 2, -900, max(-900, 900 - whole))))]
    bed = None
    if kind in MUSIC_DB:
        bed = framings.music(count * SAMPLES, seed) * np.float32(10 ** (MUSIC_DB[kind] / 20))
    return Edit(kind, shots, pieces, RATIOS.get(kind, 1.0), bed)
