"""Encoders, bit rates and the filter of re-encoded audio."""

import numpy as np
import pytest
from helpers import ffmpeg, media_info, noise_input, packets_md5, pattern_input

from resync.media.audio import read_audio
from resync.media.probe import probe
from resync.remux.apply import shift_audio
from resync.remux.correction import Correction
from resync.remux.encoders import encode_options, resampling_rates

RATE = 48_000


def option(options, name):
    return options[options.index(name) + 1]


@pytest.mark.parametrize(
    ("codec", "suffix", "encoder"),
    [("aac", ".mp4", "aac"), ("opus", ".webm", "libopus"), ("vorbis", ".mkv", "libvorbis"), ("ac3", ".mkv", "ac3"),
     ("pcm_s24le", ".mov", "pcm_s24le"), ("dca", ".mkv", "aac"), ("dca", ".avi", "libmp3lame"),
     ("flac", ".mkv", "flac"), ("alac", ".m4v", "alac"), ("aac", ".webm", "libopus"), ("mp2float", ".mpg", "mp2")],
)  # fmt: skip
def test_the_codec_is_kept_where_the_container_allows_it(codec, suffix, encoder):
    options = encode_options(0, media_info(codec=codec).audio[0], suffix, Correction(-200))
    assert option(options, "-c:a:0") == encoder
    assert ("-b:a:0" in options) == (encoder not in ("flac", "alac", "pcm_s24le", "libvorbis"))


@pytest.mark.parametrize(
    ("codec", "bit_rate", "channels", "expected"),
    [("aac", 64_000, 2, 128_000), ("aac", 256_000, 2, 256_000), ("aac", None, 2, 192_000), ("aac", None, 6, 576_000),
     ("mp3float", 400_000, 2, 320_000), ("mp2float", 200_000, 2, 224_000), ("opus", 900_000, 2, 512_000)],
)  # fmt: skip
def test_the_bit_rate_is_at_least_that_of_the_source_within_the_encoder_limits(codec, bit_rate, channels, expected):
    track = media_info(codec=codec, bit_rate=bit_rate, channels=channels).audio[0]
    assert int(option(encode_options(0, track, ".mkv", Correction(100)), "-b:a:0")) == expected


@pytest.mark.parametrize("tempo", [1.0001, 0.9997, 25 / 24, 1 + 20 / 60_000])
def test_resampling_rates_are_exact_to_a_tenth_of_a_millisecond_in_two_hours(tempo):
    before, after = resampling_rates(RATE, tempo)
    assert before >= RATE and abs(after / before - tempo) * 7200 < 1e-4


@pytest.mark.parametrize("tempo", [1 + 200 / 60_000, 1 - 20 / 60_000, 24 / 23.976])
def test_a_tempo_is_exact_from_start_to_end(tmp_path, tempo):
    source, out = tmp_path / "long.mkv", tmp_path / "out.mkv"
    ffmpeg(*pattern_input(60), *noise_input(seconds=60), "-c:v", "mpeg4", "-c:a", "flac", source)
    written = shift_audio(source, out, Correction(-100, tempo))
    assert written.reencoded and probe(out).audio[0].sample_rate == RATE
    assert packets_md5(source) == packets_md5(out)
    before, after = (read_audio(path, rate=RATE) for path in (source, out))
    for at_s in (1.0, 30.0, 58.0):
        # What played at t now plays at (t - 0.1) / tempo; within a tenth of a second the tempo hardly matters.
        template = before[round(at_s * RATE) :][: RATE // 10]
        expected = round((at_s - 0.1) / tempo * RATE)
        nearby = after[expected - 960 : expected + 960 + len(template)]
        lag = int(np.argmax(np.correlate(nearby, template, "valid"))) - 960
        # The template fits best at its middle.
        assert lag / RATE == pytest.approx(0.05 * (1 / tempo - 1), abs=2e-4), at_s
