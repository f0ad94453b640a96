"""The voice of a synthetic clip: a source-filter synthesiser, glottal pulses and noise through time-varying formants."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfilt

from .articulation import ARTICULATION_RATE, NOISE_BANDS, Contours

VOICE_RATE = 16_000  # Hz
PEAK = 0.5  # largest absolute sample, before room noise
BLOCK = 40  # samples (2.5 ms) with constant formants
FORMANT_BANDWIDTHS = np.array([70, 90, 130, 200, 260])  # Hz
UPPER_FORMANTS = (3500.0, 4500.0)  # F4 and F5 in Hz; they do not vary


def synthesise(articulation: Contours, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the utterance as float32 [samples] at VOICE_RATE, in a voice drawn from `rng`."""
    mean_pitch = float(np.exp(rng.uniform(np.log(90), np.log(240))))  # Hz
    # Formant scale: a higher voice usually has a shorter vocal tract.
    formant_scale = float(np.clip(0.88 + 0.3 * (mean_pitch - 90) / 150 + rng.normal(0, 0.05), 0.9, 1.2))
    breathiness, tilt = rng.uniform(0.02, 0.08), rng.uniform(0.3, 0.7)
    at = np.arange(samples) * (ARTICULATION_RATE / VOICE_RATE)
    contours = {name: np.interp(at, np.arange(len(contour)), contour) for name, contour in articulation.items()}

    pulses = _glottal_pulses(mean_pitch * contours["pitch"], rng)
    noise = rng.standard_normal(samples)
    source = contours["voicing"] * (pulses + breathiness * noise) + 0.25 * contours["h"] * noise
    audio = _formant_filter(source * _radiated_share(contours), contours, formant_scale)
    audio = np.append(audio[0], audio[1:] - tilt * audio[:-1])
    audio /= np.sqrt(np.mean(audio**2)) + 1e-9
    _add_consonant_noise(audio, contours, noise)
    audio *= PEAK / max(np.abs(audio).max(), 1e-6)
    room_level = 10 ** rng.uniform(-3.4, -2.4)
    audio += room_level * sosfilt(butter(1, 1200, fs=VOICE_RATE, output="sos"), rng.standard_normal(samples))
    return audio.astype(np.float32)


def _radiated_share(contours: Contours) -> np.ndarray:
    """The share [n] of the source that leaves through mouth and nose."""
    lips, tongue = np.clip(contours["lip_closure"], 0, 1), np.clip(contours["tongue_closure"], 0, 1)
    mouth = np.clip(contours["lip_aperture"], 0, 1) ** 0.7 * (1 - tongue)
    return contours["stress"] * (mouth + 0.12 * contours["nasal"] * np.maximum(lips, tongue) + 0.02)


def _add_consonant_noise(audio: np.ndarray, contours: Contours, noise: np.ndarray) -> None:
    """Add fricatives and bursts to `audio` [n] in place. Aspiration ("h") excites the formants instead."""
    for name, (low, high) in NOISE_BANDS.items():
        if name != "h":
            band_pass = butter(2, [low, min(high, 7900)], "bandpass", fs=VOICE_RATE, output="sos")
            band_noise = sosfilt(band_pass, noise)
            gain = 1 - np.clip(contours["lip_closure"], 0, 1) if name == "burst" else 1
            audio += (0.9 if name == "burst" else 0.45) * contours[name] * gain * band_noise / band_noise.std()


def _glottal_pulses(pitch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Derivative of Rosenberg's glottal pulse [n] at `pitch` [n] Hz, with slow jitter."""
    jitter = 1 + gaussian_filter1d(rng.standard_normal(len(pitch)), 60) * 0.12
    phase = np.cumsum(pitch * jitter / VOICE_RATE) % 1
    opening, closing = 0.45, 0.18  # shares of the period
    rise = np.sin(np.pi * phase / opening) * (phase < opening)
    fall = -(opening / closing) * np.sin(0.5 * np.pi * (phase - opening) / closing)
    return rise + fall * ((phase >= opening) & (phase < opening + closing))


def _formant_filter(source: np.ndarray, contours: Contours, formant_scale: float) -> np.ndarray:
    """Filter `source` [n] by five cascaded second-order resonators; F1 to F3 follow the contours."""
    starts = np.arange(0, len(source), BLOCK)
    varying = [contours[name][starts] for name in ("f1", "f2", "f3")]
    formants = np.stack(varying + [np.full(len(starts), hz) for hz in UPPER_FORMANTS], axis=1) * formant_scale
    formants = np.minimum(formants, 7500)
    radius = np.exp(-np.pi * FORMANT_BANDWIDTHS / VOICE_RATE)
    sos = np.zeros((len(starts), 5, 6))
    sos[..., 3] = 1
    sos[..., 4] = -2 * radius * np.cos(2 * np.pi * formants / VOICE_RATE)
    sos[..., 5] = radius**2
    sos[..., 0] = sos[..., 3:].sum(axis=-1)  # unit gain at 0 Hz, as in a vocal tract
    filtered, state = np.empty_like(source), np.zeros((5, 2))
    for i, start in enumerate(starts):
        block = slice(start, start + BLOCK)
        filtered[block], state = sosfilt(sos[i], source[block], zi=state)
    return filtered
