"""The articulation of a random utterance: jaw, lips, tongue and voice as contours sampled 1000 times a second.

A contour is the course of one parameter over time. One set of contours drives both the voice and the video.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

Contours = dict[str, np.ndarray]  # name -> float32 [n] at ARTICULATION_RATE

ARTICULATION_RATE = 1_000  # Hz


class Vowel(NamedTuple):
    """Articulation of a vowel."""

    f1: float  # formants, Hz
    f2: float
    f3: float
    jaw: float  # opening, 0..1
    spread: float  # of the lips, -1 (rounded) .. 1 (spread)


class Consonant(NamedTuple):
    """Articulation of a consonant. Levels are 0..1 unless noted."""

    duration_s: float
    lip_closure: float  # above 1: lips pressed together
    tongue_closure: float
    jaw: float | None  # opening; None: that of the vowel
    spread: float  # added to half of the vowel's
    voicing: float
    noise: str | None  # name in NOISE_BANDS
    noise_level: float
    nasal: float
    burst: float  # at the release


VOWELS = {
    "a": Vowel(780, 1250, 2550, 1.00, 0.0),
    "ae": Vowel(690, 1700, 2500, 0.85, 0.4),
    "e": Vowel(520, 1850, 2550, 0.55, 0.5),
    "i": Vowel(300, 2250, 3000, 0.28, 0.9),
    "o": Vowel(500, 880, 2450, 0.60, -0.7),
    "u": Vowel(330, 780, 2300, 0.25, -1.0),
    "uh": Vowel(560, 1350, 2450, 0.60, 0.0),
}
CONSONANTS = {
    "m": Consonant(0.085, 1.4, 0.0, 0.10, 0.0, 1.0, None, 0.0, 1.0, 0.0),
    "b": Consonant(0.080, 1.4, 0.0, 0.10, 0.0, 0.5, None, 0.0, 0.0, 0.5),
    "p": Consonant(0.100, 1.4, 0.0, 0.10, 0.0, 0.0, None, 0.0, 0.0, 1.0),
    "d": Consonant(0.055, 0.0, 1.3, 0.22, 0.1, 0.5, None, 0.0, 0.0, 0.5),
    "t": Consonant(0.080, 0.0, 1.3, 0.18, 0.1, 0.0, None, 0.0, 0.0, 1.0),
    "n": Consonant(0.065, 0.0, 1.3, 0.25, 0.1, 1.0, None, 0.0, 1.0, 0.0),
    "k": Consonant(0.080, 0.0, 1.3, 0.30, 0.0, 0.0, None, 0.0, 0.0, 0.8),
    "l": Consonant(0.060, 0.0, 0.6, 0.35, 0.0, 1.0, None, 0.0, 0.3, 0.0),
    "s": Consonant(0.115, 0.0, 1.0, 0.14, 0.5, 0.0, "s", 1.0, 0.0, 0.0),
    "sh": Consonant(0.115, 0.0, 1.0, 0.20, -0.6, 0.0, "sh", 1.0, 0.0, 0.0),
    "f": Consonant(0.100, 0.85, 1.0, 0.15, 0.1, 0.0, "f", 0.5, 0.0, 0.0),
    "v": Consonant(0.070, 0.80, 0.6, 0.18, 0.1, 0.8, "f", 0.2, 0.0, 0.0),
    "w": Consonant(0.080, 0.55, 0.2, 0.20, -1.0, 1.0, None, 0.0, 0.0, 0.0),
    "h": Consonant(0.060, 0.0, 0.0, None, 0.0, 0.0, "h", 0.5, 0.0, 0.0),
}
# Relative frequency of consonants as syllable onsets; 1 for the others.
ONSET_WEIGHTS = {"h": 0.5, "l": 0.7, "v": 0.7, "w": 0.8, "m": 1.6, "b": 1.4, "p": 1.4}
# Pass bands of the noise sources, Hz; each has a contour of the same name, its level.
NOISE_BANDS = {"s": (4200, 7600), "sh": (2000, 5500), "f": (1400, 7600), "h": (700, 5000), "burst": (500, 7000)}

REST_JAW = 0.06  # jaw opening between phrases
CLOSING = Vowel(500, 1400, 2400, REST_JAW, 0.0)  # the mouth at the end of a phrase
# Inertia of the articulators: sigma of a Gaussian in seconds.
LIP_SMOOTHING_S, JAW_SMOOTHING_S, VOICE_SMOOTHING_S = 0.014, 0.026, 0.008
SMOOTHING_S = {
    "jaw": JAW_SMOOTHING_S,
    "spread": 2 * JAW_SMOOTHING_S,
    "lip_closure": LIP_SMOOTHING_S,
    "tongue_closure": LIP_SMOOTHING_S,
    "f1": JAW_SMOOTHING_S,
    "f2": JAW_SMOOTHING_S,
    "f3": JAW_SMOOTHING_S,
    "pitch": 0.05,
    "stress": 0.03,
    "burst": 0.002,
}


def random_articulation(seconds: float, rng: np.random.Generator) -> Contours:
    """Return the contours of random phrases of syllables, two seconds longer than `seconds`.

    f1, f2, f3: Hz. pitch: relative to the speaker's mean. lip_aperture (opening between the lips), lip_pressure and the rest: 0..1.
    """
    n = int((seconds + 2) * ARTICULATION_RATE)
    names = ("jaw", "lip_closure", "tongue_closure", "spread", "voicing", "nasal", "f1", "f2", "f3", "pitch", "stress", *NOISE_BANDS)
    contours = {name: np.zeros(n, np.float32) for name in names}
    for name, rest in {"jaw": REST_JAW, "f1": 500, "f2": 1450, "f3": 2450}.items():
        contours[name][:] = rest
    syllables_per_s = rng.uniform(3.5, 6.0)
    effort = rng.uniform(0.85, 1.1)  # how wide this speaker opens the mouth
    time_s = rng.uniform(0.05, 0.25)
    while time_s < seconds + 1:
        syllables = int(rng.integers(3, 10))
        for i in range(syllables):
            time_s = _add_syllable(contours, time_s, syllables_per_s, effort, i / syllables, rng)
        if rng.random() < 0.4:  # some phrases end with closed lips
            time_s = _add_consonant(contours, time_s, CONSONANTS["m"], CLOSING, stress=0.7, pitch=0.5)
        time_s += rng.uniform(0.2, 0.6)
    return _smooth(contours)


def _add_syllable(
    contours: Contours, start_s: float, syllables_per_s: float, effort: float, position: float, rng: np.random.Generator
) -> float:
    """Add a random syllable at `position` (0..1) of its phrase. Returns its end in seconds."""
    onsets = list(CONSONANTS)
    weights = np.array([ONSET_WEIGHTS.get(name, 1.0) for name in onsets])
    vowel = VOWELS[rng.choice(list(VOWELS))]
    stress = rng.uniform(0.55, 1.0) * (1 - 0.25 * position)
    vowel = vowel._replace(jaw=vowel.jaw * effort * (0.65 + 0.35 * stress))
    pitch = 1.12 - 0.22 * position + 0.2 * (stress - 0.7) + rng.normal(0, 0.02)
    duration_s = rng.lognormal(np.log(1 / syllables_per_s), 0.22)
    onset = rng.choice(onsets, p=weights / weights.sum()) if rng.random() < 0.92 else None
    vowel_s, end_s = start_s, start_s + max(duration_s, 0.12)
    if onset:
        vowel_s = _add_consonant(contours, start_s, CONSONANTS[onset], vowel, stress, pitch)
    end_s = max(end_s, vowel_s + 0.07)
    _set(contours, vowel_s, end_s, **vowel._asdict(), voicing=1, stress=stress, pitch=pitch)
    if rng.random() < 0.2:
        coda = rng.choice(["n", "s", "t", "m", "l"])
        end_s = _add_consonant(contours, end_s, CONSONANTS[coda], vowel, stress, pitch)
    return end_s


def _add_consonant(contours: Contours, start_s: float, consonant: Consonant, vowel: Vowel, stress: float, pitch: float) -> float:
    """Add a consonant next to `vowel`, which colours it (coarticulation). Returns its end in seconds."""
    end_s = start_s + consonant.duration_s
    _set(
        contours,
        start_s,
        end_s,
        f1=280,
        f2=0.5 * vowel.f2 + 750,
        f3=vowel.f3,
        lip_closure=consonant.lip_closure,
        tongue_closure=consonant.tongue_closure,
        jaw=vowel.jaw if consonant.jaw is None else 0.9 * consonant.jaw + 0.1 * vowel.jaw,
        spread=consonant.spread + 0.5 * vowel.spread,
        voicing=consonant.voicing,
        nasal=consonant.nasal,
        stress=stress,
        pitch=pitch,
    )
    if consonant.noise:
        _set(contours, start_s, end_s, **{consonant.noise: consonant.noise_level})
    if consonant.burst:  # begins as the closure opens
        _set(contours, end_s, end_s + 0.012, burst=consonant.burst)
        if not consonant.voicing:  # aspiration
            _set(contours, end_s + 0.005, end_s + 0.030, h=0.35)
    return end_s


def _set(contours: Contours, start_s: float, end_s: float, **values: float) -> None:
    """Set the named contours to constant values between two times."""
    span = slice(round(start_s * ARTICULATION_RATE), round(end_s * ARTICULATION_RATE))
    for name, value in values.items():
        contours[name][span] = value


def _smooth(contours: Contours) -> Contours:
    """Smooth every contour by the inertia of its articulator; add `lip_pressure` and `lip_aperture`."""
    voiced = contours["pitch"] > 0
    # Hold the pitch through pauses, or it would glide to zero.
    last = np.maximum.accumulate(np.where(voiced, np.arange(len(voiced)), 0))
    contours["pitch"] = np.where(contours["pitch"][last] > 0, contours["pitch"][last], 1).astype(np.float32)
    smooth = {
        name: gaussian_filter1d(contour, SMOOTHING_S.get(name, VOICE_SMOOTHING_S) * ARTICULATION_RATE, mode="nearest")
        for name, contour in contours.items()
    }
    smooth["lip_pressure"] = np.clip(smooth["lip_closure"] - 1, 0, 0.4) / 0.4
    smooth["lip_aperture"] = np.clip(smooth["jaw"], 0, 1) * (1 - np.clip(smooth["lip_closure"], 0, 1))
    return smooth
