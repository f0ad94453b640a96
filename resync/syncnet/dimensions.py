"""The numbers that fix the shape of the network and of its input."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

from ..config import SAMPLE_RATE, CropConfig, MelConfig

VISUAL_STRIDES = ((2, 2),) * 4
# Halve the frequency axis at once and the time axis late: time is what the network measures.
AUDIO_STRIDES = ((2, 1), (2, 1), (2, 2), (2, 2))
MAX_SIZE = 1024  # of any layer, crop or spectrogram
CONTRAST_FLOOR = 8.0  # grey levels, added to the standard deviation of a mouth window before dividing by it


@dataclass(frozen=True)
class Dimensions:
    """What differs between networks. Saved as JSON in the metadata of a weights file.

    The field names are part of that file format: do not rename them. `sound_widths` are the widths of the audio encoder.
    """

    visual_widths: tuple[int, ...] = (24, 48, 96, 192)
    sound_widths: tuple[int, ...] = (16, 32, 64, 96)
    embedding: int = 256
    head: int = 64  # channels of the spatial map that feeds the embedding
    blur_stem: bool = True  # the mouth encoder subsamples within its first convolution; False in weights files without this field
    crop: CropConfig = field(default_factory=CropConfig)
    mel: MelConfig = field(default_factory=MelConfig)

    def to_dict(self) -> dict:
        """Nested dict of plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> Dimensions:
        """Inverse of to_dict. Raises TypeError, ValueError or KeyError when `data` has another structure, or sizes that fill the memory."""
        values = {"blur_stem": False, **data}
        _require_sizes(values)
        crop, mel = CropConfig(**values.pop("crop")), MelConfig(**values.pop("mel"))
        names = {f.name for f in fields(cls)}
        plain: dict = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names}
        return cls(crop=crop, mel=mel, **plain)


def _require_sizes(value: object) -> None:
    """Raise ValueError or TypeError unless all numbers in nested dicts and lists are sizes or frequencies of some network."""
    if isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            _require_sizes(part)
    elif not 0 <= float(value) <= (MAX_SIZE if isinstance(value, int) else SAMPLE_RATE / 2):  # type: ignore[arg-type]
        raise ValueError(f"{value} is not a size of a network")
