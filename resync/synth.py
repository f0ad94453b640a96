"""A talking-face clip made from nothing but a portrait and a seed.

One articulation score (jaw, lips, tongue, voice, sampled 1000 times a second) drives both a
formant synthesiser and a warp of the mouth in a public-domain portrait, so sound and picture
belong together exactly: the frame at time t shows the very mouth that is heard at time t.
Used by `resync demo`, by the tests, and as extra training material.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.signal import butter, sosfilt

from .errors import OutputError
from .partfile import is_foreign_media, marker_options

SOUND_RATE = 16_000  # Hz of the synthetic voice
SCORE_RATE = 1_000  # Hz of the articulation score
PEAK = 0.5  # largest absolute sample of a voice


@dataclass
class TalkingClip:
    """frames: uint8 [n,H,W,3] RGB, frame k at k/fps seconds; sound: float32 [m] mono at `rate` Hz."""

    frames: np.ndarray
    fps: int
    sound: np.ndarray
    rate: int


def talking_clip(seconds=6.0, seed=0, fps=25, size=(320, 320)) -> TalkingClip:
    """Make a clip of `seconds`, the same for the same arguments; `size` is (width, height) in pixels.

    The seed picks the words, the voice (pitch, vocal tract, speed), the framing, mirroring, head
    motion, light, contrast and noise. Raises ValueError for what no clip can have.
    """
    if seconds <= 0 or fps <= 0 or min(size) < 16:
        raise ValueError("seconds and fps must be positive and size at least 16 x 16")
    words, voice, look = (np.random.default_rng([seed, part]) for part in range(3))
    score = _write_score(seconds, words)
    sound = _speak(score, round(seconds * SOUND_RATE), voice)
    frames = _film(score, round(seconds * fps), fps, size, look)
    return TalkingClip(frames, fps, sound, SOUND_RATE)


def write_clip(clip: TalkingClip, path, audio_delay_ms=0.0) -> None:
    """Write H.264 and AAC to `path` (.mp4, .mkv, .mov), the sound `audio_delay_ms` late (- = early).

    Delayed sound is cut at the end, or at the start when early, so the duration stays.
    Replaces a file that resync wrote, no other media file. Raises OutputError when the file cannot be written.
    """
    import soundfile
    from moviepy import VideoClip

    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.is_file() and is_foreign_media(path):
        raise OutputError(f"{path}: is a media file that resync did not write; name another folder or file")
    sound = delayed(clip.sound, round(audio_delay_ms * clip.rate / 1000))
    # half a frame more, because moviepy rounds the number of frames down
    picture = VideoClip(lambda t: clip.frames[round(t * clip.fps)], duration=(len(clip.frames) + 0.5) / clip.fps)
    with tempfile.TemporaryDirectory(prefix="resync-") as folder:
        wav, film = Path(folder) / "sound.wav", Path(folder) / f"film{path.suffix}"
        soundfile.write(wav, sound, clip.rate, subtype="PCM_16")
        try:
            # the sound as a file: one encoder run, whose priming the container then accounts for
            picture.write_videofile(
                str(film),
                fps=clip.fps,
                codec="libx264",
                audio=str(wav),
                audio_codec="aac",
                preset="veryfast",
                ffmpeg_params=["-crf", "18", "-b:a", "128k", *marker_options(path.suffix)],
                logger=None,
            )
            shutil.copyfile(film, path)  # moviepy is silent when a short film fails: then there is no file
        except OSError as error:
            raise OutputError(f"{path}: cannot be written; check the folder and the ending (.mp4, .mkv)") from error
        finally:
            picture.close()


def delayed(sound: np.ndarray, samples: int) -> np.ndarray:
    """A copy of `sound` [n] moved `samples` later (- = earlier), silence moved in, same length."""
    moved = np.zeros_like(sound)
    n = len(sound)
    if abs(samples) < n:
        moved[max(samples, 0) : n + min(samples, 0)] = sound[max(-samples, 0) : n - max(samples, 0)]
    return moved


# ---------------------------------------------------------------------------------------------
# The score: what mouth and voice do
# ---------------------------------------------------------------------------------------------

# vowel: F1, F2, F3 in Hz, jaw 0..1, width -1 (round) .. 1 (spread)
VOWELS = {
    "a": (780, 1250, 2550, 1.00, 0.0),
    "ae": (690, 1700, 2500, 0.85, 0.4),
    "e": (520, 1850, 2550, 0.55, 0.5),
    "i": (300, 2250, 3000, 0.28, 0.9),
    "o": (500, 880, 2450, 0.60, -0.7),
    "u": (330, 780, 2300, 0.25, -1.0),
    "uh": (560, 1350, 2450, 0.60, 0.0),
}
# consonant: seconds, lips shut 0..1 (above 1: pressed), tongue shut 0..1, jaw (None: as the vowel),
#            width pull, voicing, hiss name and level, nasal, release burst
CONSONANTS = {
    "m": (0.085, 1.4, 0.0, 0.10, 0.0, 1.0, None, 0.0, 1.0, 0.0),
    "b": (0.080, 1.4, 0.0, 0.10, 0.0, 0.5, None, 0.0, 0.0, 0.5),
    "p": (0.100, 1.4, 0.0, 0.10, 0.0, 0.0, None, 0.0, 0.0, 1.0),
    "d": (0.055, 0.0, 1.3, 0.22, 0.1, 0.5, None, 0.0, 0.0, 0.5),
    "t": (0.080, 0.0, 1.3, 0.18, 0.1, 0.0, None, 0.0, 0.0, 1.0),
    "n": (0.065, 0.0, 1.3, 0.25, 0.1, 1.0, None, 0.0, 1.0, 0.0),
    "k": (0.080, 0.0, 1.3, 0.30, 0.0, 0.0, None, 0.0, 0.0, 0.8),
    "l": (0.060, 0.0, 0.6, 0.35, 0.0, 1.0, None, 0.0, 0.3, 0.0),
    "s": (0.115, 0.0, 1.0, 0.14, 0.5, 0.0, "s", 1.0, 0.0, 0.0),
    "sh": (0.115, 0.0, 1.0, 0.20, -0.6, 0.0, "sh", 1.0, 0.0, 0.0),
    "f": (0.100, 0.85, 1.0, 0.15, 0.1, 0.0, "f", 0.5, 0.0, 0.0),
    "v": (0.070, 0.80, 0.6, 0.18, 0.1, 0.8, "f", 0.2, 0.0, 0.0),
    "w": (0.080, 0.55, 0.2, 0.20, -1.0, 1.0, None, 0.0, 0.0, 0.0),
    "h": (0.060, 0.0, 0.0, None, 0.0, 0.0, "h", 0.5, 0.0, 0.0),
}
HISS_BANDS = {"s": (4200, 7600), "sh": (2000, 5500), "f": (1400, 7600), "h": (700, 5000), "burst": (500, 7000)}
ODDS = {"h": 0.5, "l": 0.7, "v": 0.7, "w": 0.8, "m": 1.6, "b": 1.4, "p": 1.4}

REST_JAW = 0.06  # the mouth between phrases
LIP_BLUR_S, JAW_BLUR_S, VOICE_BLUR_S = 0.014, 0.026, 0.008  # inertia, sigma of a Gaussian


def _write_score(seconds, rng):
    """Draw phrases of syllables; return tracks of 1 kHz, by name, two seconds longer than asked."""
    n = int((seconds + 2) * SCORE_RATE)
    names = ("jaw", "lips", "tongue", "width", "voicing", "nasal", "f1", "f2", "f3", "pitch", "stress", *HISS_BANDS)
    tracks = {name: np.zeros(n, np.float32) for name in names}
    for name, rest in zip(("jaw", "f1", "f2", "f3"), (REST_JAW, 500, 1450, 2450)):
        tracks[name][:] = rest
    rate = rng.uniform(3.5, 6.0)  # syllables a second
    vigour = rng.uniform(0.85, 1.1)  # how far this speaker opens
    t = rng.uniform(0.05, 0.25)
    while t < seconds + 1:
        syllables = int(rng.integers(3, 10))
        for i in range(syllables):
            t = _syllable(tracks, t, rate, vigour, i / syllables, rng)
        if rng.random() < 0.4:  # a phrase may end on shut lips
            t = _put_consonant(tracks, t, "m", (500, 1400, 2400, REST_JAW, 0.0), 0.7, 0.5)
        t += rng.uniform(0.2, 0.6)
    return _smooth_score(tracks)


def _syllable(tracks, t, rate, vigour, place, rng):
    """Put one syllable at `t` seconds, `place` 0..1 in its phrase; return its end."""
    names = list(CONSONANTS)
    odds = np.array([ODDS.get(name, 1.0) for name in names])
    vowel = VOWELS[rng.choice(list(VOWELS))]
    stress = rng.uniform(0.55, 1.0) * (1 - 0.25 * place)
    vowel = (*vowel[:3], vowel[3] * vigour * (0.65 + 0.35 * stress), vowel[4])
    pitch = 1.12 - 0.22 * place + 0.2 * (stress - 0.7) + rng.normal(0, 0.02)
    length = rng.lognormal(np.log(1 / rate), 0.22)
    onset = rng.choice(names, p=odds / odds.sum()) if rng.random() < 0.92 else None
    end = t + max(length, 0.12)
    if onset:
        t = _put_consonant(tracks, t, onset, vowel, stress, pitch)
    end = max(end, t + 0.07)
    _put(tracks, t, end, zip(("f1", "f2", "f3", "jaw", "width"), vowel), voicing=1, stress=stress, pitch=pitch)
    if rng.random() < 0.2:
        end = _put_consonant(tracks, end, rng.choice(["n", "s", "t", "m", "l"]), vowel, stress, pitch)
    return end


def _put_consonant(tracks, t, name, vowel, stress, pitch):
    length, lips, tongue, jaw, width, voicing, hiss, level, nasal, burst = CONSONANTS[name]
    end = t + length
    jaw = vowel[3] if jaw is None else 0.9 * jaw + 0.1 * vowel[3]  # leans towards the vowel
    _put(
        tracks,
        t,
        end,
        zip(("f1", "f2", "f3"), (280, 0.5 * vowel[1] + 750, vowel[2])),
        lips=lips,
        tongue=tongue,
        jaw=jaw,
        width=width + 0.5 * vowel[4],
        voicing=voicing,
        nasal=nasal,
        stress=stress,
        pitch=pitch,
    )
    if hiss:
        _put(tracks, t, end, [(hiss, level)])
    if burst:  # at the release, the moment the gap opens
        _put(tracks, end, end + 0.012, [("burst", burst)])
        if not voicing:
            _put(tracks, end + 0.005, end + 0.030, [("h", 0.35)])
    return end


def _put(tracks, start, end, pairs, **more):
    span = slice(round(start * SCORE_RATE), round(end * SCORE_RATE))
    for name, value in (*pairs, *more.items()):
        tracks[name][span] = value


def _smooth_score(tracks):
    """Give every articulator its inertia and derive `gap`, the opening between the lips, 0..1."""
    blurs = {
        "jaw": JAW_BLUR_S,
        "width": 2 * JAW_BLUR_S,
        "lips": LIP_BLUR_S,
        "tongue": LIP_BLUR_S,
        "f1": JAW_BLUR_S,
        "f2": JAW_BLUR_S,
        "f3": JAW_BLUR_S,
        "pitch": 0.05,
        "stress": 0.03,
        "burst": 0.002,
    }
    spoken = tracks["pitch"] > 0  # hold the pitch through pauses, so that it does not glide to zero
    at = np.maximum.accumulate(np.where(spoken, np.arange(len(spoken)), 0))
    tracks["pitch"] = np.where(tracks["pitch"][at] > 0, tracks["pitch"][at], 1).astype(np.float32)
    score = {name: gaussian_filter1d(track, blurs.get(name, VOICE_BLUR_S) * SCORE_RATE, mode="nearest") for name, track in tracks.items()}
    score["press"] = np.clip(score["lips"] - 1, 0, 0.4) / 0.4
    score["gap"] = np.clip(score["jaw"], 0, 1) * (1 - np.clip(score["lips"], 0, 1))
    return score


# ---------------------------------------------------------------------------------------------
# The voice: glottal pulses and noise through moving formants
# ---------------------------------------------------------------------------------------------

BLOCK = 40  # samples (2.5 ms) for which the formants stand still


def _speak(score, n, rng):
    """Synthesise [n] float32 samples of the score in a voice drawn from `rng`."""
    pitch = float(np.exp(rng.uniform(np.log(90), np.log(240))))
    tract = float(np.clip(0.88 + 0.3 * (pitch - 90) / 150 + rng.normal(0, 0.05), 0.9, 1.2))
    breath, bright = rng.uniform(0.02, 0.08), rng.uniform(0.3, 0.7)
    at = np.arange(n) * (SCORE_RATE / SOUND_RATE)
    track = {name: np.interp(at, np.arange(len(values)), values) for name, values in score.items()}

    lips, tongue = np.clip(track["lips"], 0, 1), np.clip(track["tongue"], 0, 1)
    mouth = np.clip(track["gap"], 0, 1) ** 0.7 * (1 - tongue)  # what the opening lets out
    through = track["stress"] * (mouth + 0.12 * track["nasal"] * np.maximum(lips, tongue) + 0.02)
    pulses = _glottis(pitch * track["pitch"], n, rng)
    noise = rng.standard_normal(n)
    source = track["voicing"] * (pulses + breath * noise) + 0.25 * track["h"] * noise
    sound = _formants(source * through, track, tract)
    sound = np.append(sound[0], sound[1:] - bright * sound[:-1])
    sound /= np.sqrt(np.mean(sound**2)) + 1e-9
    for name, (low, high) in HISS_BANDS.items():
        if name != "h":
            band = butter(2, [low, min(high, 7900)], "bandpass", fs=SOUND_RATE, output="sos")
            hiss = sosfilt(band, noise)
            free = 1 - lips if name == "burst" else 1
            sound += (0.9 if name == "burst" else 0.45) * track[name] * free * hiss / hiss.std()
    sound *= PEAK / max(np.abs(sound).max(), 1e-6)
    floor = 10 ** rng.uniform(-3.4, -2.4)  # the room
    sound += floor * sosfilt(butter(1, 1200, fs=SOUND_RATE, output="sos"), rng.standard_normal(n))
    return sound.astype(np.float32)


def _glottis(pitch, n, rng):
    """Derivative of a Rosenberg glottal pulse at `pitch` Hz [n] with slow jitter."""
    jitter = 1 + gaussian_filter1d(rng.standard_normal(n), 60) * 0.12
    phase = np.cumsum(pitch * jitter / SOUND_RATE) % 1
    opening, closing = 0.45, 0.18
    rise = np.sin(np.pi * phase / opening) * (phase < opening)
    fall = -(opening / closing) * np.sin(0.5 * np.pi * (phase - opening) / closing)
    return rise + fall * ((phase >= opening) & (phase < opening + closing))


def _formants(source, track, tract):
    """Filter `source` [n] by five resonators in a row whose first three move with the score."""
    at = np.arange(0, len(source), BLOCK)
    hertz = (
        np.stack([track["f1"][at], track["f2"][at], track["f3"][at], np.full(len(at), 3500.0), np.full(len(at), 4500.0)], axis=1) * tract
    )
    hertz = np.minimum(hertz, 7500)
    width = np.array([70, 90, 130, 200, 260])
    radius = np.exp(-np.pi * width / SOUND_RATE)
    sos = np.zeros((len(at), 5, 6))
    sos[..., 3] = 1
    sos[..., 4] = -2 * radius * np.cos(2 * np.pi * hertz / SOUND_RATE)
    sos[..., 5] = radius**2
    sos[..., 0] = sos[..., 3:].sum(axis=-1)  # gain 1 at 0 Hz, as in a real tract
    out, state = np.empty_like(source), np.zeros((5, 2))
    for i, start in enumerate(at):
        block = slice(start, start + BLOCK)
        out[block], state = sosfilt(sos[i], source[block], zi=state)
    return out


# ---------------------------------------------------------------------------------------------
# The picture: the portrait's mouth, moved
# ---------------------------------------------------------------------------------------------

# Places in skimage.data.astronaut() (512 x 512, NASA, public domain), in its pixels. Eyes, nose and
# mouth corners as the CenterFace detector reports them; lips and chin read off an enlarged picture.
FINER = 2  # pixels of the enlarged portrait to one of the original
EYES = ((203.5, 101.3), (247.0, 104.0))
MOUTH_X, MOUTH_Y = 223.5, 140.3  # middle of the mouth corners
MOUTH_HALF = 21.0  # from the middle to a corner
MOUTH_TILT = 0.8  # the right corner is this much lower than the middle
UPPER_INNER, LOWER_INNER = 143.6, 150.4  # edges of the lips at the middle; parabolas to the corners
CHEEK, NOSE_BASE, CHIN, NECK = 114.0, 132.0, 178.0, 204.0
FACE_X, FACE_Y, FACE_HALF = 224.5, 125.0, 46.0


@dataclass
class _Look:
    """What one speaker and camera look like; lengths in portrait pixels."""

    side: float  # of the portrait's square that fills the shorter picture side
    mirror: bool
    opening: float  # gap of the lips at full opening
    smile: float  # how far the corners lie above the middle of the shut mouth
    teeth: float  # length of the teeth under the upper lip
    dark: np.ndarray  # colour inside the mouth
    gain: np.ndarray
    gamma: float
    grey: float  # 0 colour .. 1 black and white
    noise: float


def _draw_look(rng):
    return _Look(
        side=rng.uniform(135, 200),
        mirror=bool(rng.random() < 0.5),
        opening=rng.uniform(12, 17),
        smile=rng.uniform(2.5, 5.0),
        teeth=rng.uniform(2.0, 5.0),
        dark=np.array([52, 16, 16]) * rng.uniform(0.5, 1.3),
        gain=rng.uniform(0.85, 1.1) * rng.uniform(0.93, 1.07, 3),
        gamma=rng.uniform(0.8, 1.35),
        grey=float(rng.choice([0, 0, 0.3, 0.6])),
        noise=rng.uniform(0.5, 4.0),
    )


def _film(score, count, fps, size, rng):
    """Render `count` frames [n,H,W,3] uint8 RGB of the score."""
    look, portrait = _draw_look(rng), _portrait()
    columns, rows = (np.arange(length, dtype=np.float32) - (length - 1) / 2 for length in size)
    scale = look.side / min(size)
    if look.mirror:
        columns = -columns
    x0, y0 = np.meshgrid(columns * scale, rows * scale)
    sway = {
        name: amount * _wander(count, fps, rate, rng)
        for name, amount, rate in (
            ("x", 3.0, 0.35),
            ("y", 2.2, 0.35),
            ("roll", 0.045, 0.3),
            ("zoom", 0.03, 0.2),
            ("yaw", 2.2, 0.4),
            ("light", 0.05, 0.15),
            ("warmth", 0.03, 0.1),
        )
    }
    blink = _blinks(count, fps, rng)
    grain = rng.standard_normal((size[1] + 64, size[0] + 64, 3)).astype(np.float32) * look.noise
    frames = np.empty((count, size[1], size[0], 3), np.uint8)
    for k in range(count):
        pose = {name: float(track[round(k * SCORE_RATE / fps)]) for name, track in score.items()}
        now = {name: float(track[k]) for name, track in sway.items()}
        x, y = _head(x0, y0, now, look)
        picture = _draw_face(portrait, x, y, pose, float(blink[k]), look)
        dx, dy = rng.integers(0, 64, 2)
        frames[k] = _expose(picture, now, look, grain[dy : dy + size[1], dx : dx + size[0]])
    return frames


def _portrait():
    """The portrait's colour planes [3, H, W], FINER times as large: cubic once, so that frames can be sampled linearly."""
    from skimage.data import astronaut

    image = Image.fromarray(astronaut())
    large = image.resize((image.width * FINER, image.height * FINER), Image.Resampling.BICUBIC)
    return np.asarray(large, np.float32).transpose(2, 0, 1).copy()


def _wander(count, fps, hertz, rng):
    """A smooth random track [count] of unit variance that changes about `hertz` times a second."""
    sigma = fps / (2 * np.pi * hertz)
    pad = int(4 * sigma) + 1
    track = gaussian_filter1d(rng.standard_normal(count + 2 * pad), sigma)[pad : pad + count]
    return track * np.sqrt(2 * np.sqrt(np.pi) * sigma)


def _blinks(count, fps, rng):
    """How far the eyes are shut [count], 0..1: a short dip every few seconds."""
    t, shut, at = np.arange(count) / fps, np.zeros(count), rng.uniform(0.5, 3)
    while at < count / fps:
        shut = np.maximum(shut, np.exp(-0.5 * ((t - at) / 0.045) ** 2))
        at += rng.uniform(1.5, 5)
    return shut


def _head(x0, y0, now, look):
    """Portrait coordinates of every pixel, for the head's place and turn in this frame."""
    zoom = 1 + now["zoom"]
    c, s = zoom * np.cos(now["roll"]), zoom * np.sin(now["roll"])
    x = FACE_X + c * x0 - s * y0 + now["x"]
    y = FACE_Y + 5 + s * x0 + c * y0 + now["y"]
    x = x + now["yaw"] * np.exp(-(((x - FACE_X) / 38) ** 2) - ((y - FACE_Y) / 55) ** 2)  # the near parts move
    return x.astype(np.float32), y.astype(np.float32)


def _draw_face(portrait, x, y, pose, blink, look):
    """float32 picture of the portrait (planes of `_portrait`) seen at (x, y) with its mouth posed."""

    def sample(u, v):
        at = np.stack([v, u]) * FINER + (FINER - 1) / 2
        return np.stack([map_coordinates(c, at, order=1, mode="reflect") for c in portrait], -1)

    for eye_x, eye_y in EYES if blink > 0.02 else ():  # the skin between brow and lashes covers the eye
        below_brow, lid = y - (eye_y - 9), eye_y + 3.5
        close = 0.6 * blink * np.clip(1 - ((x - eye_x) / 12) ** 2, 0, 1)
        y = np.where((below_brow > 0) & (y < lid), y - close * below_brow, y)
    inside = (np.abs(x - MOUTH_X) < 62) & (y > CHEEK) & (y < NECK + 6)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return sample(x, y)
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    u, v, cover, cavity = _mouth(x[box], y[box], pose, look)
    x, y = x.copy(), y.copy()
    x[box], y[box] = u, v
    picture = sample(x, y)
    picture[box] += cover[..., None] * (_cavity(sample, cavity, look) - picture[box])
    return picture


def _mouth(x, y, pose, look):
    """Where the skin at portrait place (x, y) comes from, and what lies between the lips.

    Returns source x, source y, cover (1 inside the mouth .. 0 skin) and the cavity's coordinates.
    """
    jaw, gap, width = np.clip(pose["jaw"], 0, 1), pose["gap"], np.clip(pose["width"], -1, 1.2)
    stretch = 0.86 + 0.12 * max(width, 0) - 0.20 * max(-width, 0) - 0.04 * jaw  # of the mouth's width
    near = np.exp(-(((x - MOUTH_X) / 28) ** 4)) * _ramp((y - CHEEK) / 22) * _ramp((CHIN - y) / 28)
    u = x + (1 / stretch - 1) * (x - MOUTH_X) * near
    across = (u - MOUTH_X) / MOUTH_HALF
    a2 = np.minimum(across**2, 1)
    tilt = MOUTH_TILT * np.clip(across, -1, 1)
    upper0 = MOUTH_Y + tilt + (UPPER_INNER - MOUTH_Y) * (1 - a2)
    lower0 = MOUTH_Y + tilt + (LOWER_INNER - MOUTH_Y) * (1 - a2)

    round_ = min(max(-width, 0), 1)
    smile = look.smile * (1 + 0.25 * max(width, 0) - 0.7 * round_)
    opening = gap * look.opening * (1 - a2) ** (0.7 - 0.25 * round_)
    seam = MOUTH_Y + tilt + 6.2 - smile * a2
    raised = 0.18 + 0.14 * round_  # the upper lip's share of the opening
    upper, lower = seam - raised * opening, seam + (1 - raised) * opening

    fade = np.exp(-((np.maximum(np.abs(across) - 1, 0) / 0.45) ** 2))
    up = (upper - upper0) * fade * _ramp((y - NOSE_BASE) / np.maximum(upper - NOSE_BASE, 1))
    drop = 9.5 * jaw / 15 * look.opening * np.clip(1 - ((x - MOUTH_X) / FACE_HALF) ** 2, 0, 1)  # of the chin
    chin = _ramp((y - lower) / 20)
    down = (lower - lower0) * fade * (1 - chin) + drop * chin * _ramp((NECK + 6 - y) / 30)
    swell = 0.35 * max(-width, 0) - 0.45 * pose["press"]  # pushed out or pressed lips
    puff = swell * fade * (1 - a2)
    up = up + puff * (y - upper) * np.exp(-(((y - upper) / 5) ** 2))
    down = down + puff * (y - lower) * np.exp(-(((y - lower) / 6) ** 2))
    v = y - np.where(y < 0.5 * (upper + lower), up, down)

    soft = 0.8
    cover = np.clip((y - upper) / soft + 0.5, 0, 1) * np.clip((lower - y) / soft + 0.5, 0, 1) * (np.abs(across) < 1)
    cover = np.maximum(cover, 0.55 * np.exp(-(((y - seam) / 0.8) ** 2)) * (1 - a2) * max(1 - gap / 0.1, 0))
    return (u.astype(np.float32), v.astype(np.float32), cover.astype(np.float32), (u, y - upper, lower - y, upper0, lower0, a2))


def _cavity(sample, cavity, look):
    """Colour inside the mouth: the portrait's own teeth, darkness, the tongue."""
    u, below, above, upper0, lower0, a2 = cavity
    length = np.minimum(look.teeth, np.maximum(lower0 - upper0 - 1.2, 0)) * np.sqrt(1 - a2)
    row = lower0 - 1.0 - length + np.clip(below, 0, length)
    teeth = sample(u.astype(np.float32), row.astype(np.float32)) * 0.82
    tongue = 0.75 * _ramp((below - 5) / 5) * _ramp((5.5 - above) / 4) * (1 - a2)
    inner = look.dark + tongue[..., None] * (np.array([150, 72, 70]) - look.dark)
    show = (np.clip((length - below) / 1.0 + 0.5, 0, 1) * (length > 0.3))[..., None]
    return (inner + show * (teeth - inner)).astype(np.float32)


def _ramp(t):
    """Smooth step from 0 at t = 0 to 1 at t = 1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _expose(picture, now, look, grain):
    """The camera: light, colour, contrast and noise; uint8."""
    light = look.gain * (1 + now["light"]) * (1 + now["warmth"] * np.array([1, 0, -1]))
    picture = np.clip(picture, 0, 255) * light.astype(np.float32)
    if look.grey:
        picture += look.grey * (picture.mean(axis=2, keepdims=True) - picture)
    picture = 255 * (np.clip(picture, 0, 255) / 255) ** np.float32(look.gamma)
    return np.clip(picture + grain + 0.5, 0, 255).astype(np.uint8)
