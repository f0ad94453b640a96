"""remux: what ffmpeg is told, how far the sound moves against the picture, what is kept and refused."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest

from resync import remux
from resync.errors import MediaError, OutputError, RemuxError
from resync.media import AudioInfo, MediaInfo, VideoInfo, probe, read_sound
from resync.partfile import Overwrite
from resync.remux import Extras, build_command, ffmpeg_exe, is_baked, shift_sound

RATE = 48_000  # Hz, for measuring finer than 0.1 ms
SECONDS = 1.5
PICTURE = {
    "x264": ("libx264", "-preset", "ultrafast", "-bf", "2"),  # reordered frames: the hard case for timing
    "vp8": ("libvpx", "-deadline", "realtime", "-cpu-used", "8"),
    "mpeg4": ("mpeg4",),
    "mpeg4b": ("mpeg4", "-bf", "2"),
    "mpeg2": ("mpeg2video",),
}
MEDIA = {
    "aac.mp4": ("x264", "aac"),
    "aac.m4v": ("x264", "aac"),
    "pcm.mov": ("x264", "pcm_s16le"),
    "aac.mkv": ("x264", "aac"),
    "opus.webm": ("vp8", "libopus"),
    "ac3.ts": ("x264", "ac3"),
    "mp2.mpg": ("mpeg2", "mp2"),
    "mp3.avi": ("mpeg4", "libmp3lame"),
    "pcm.mxf": ("mpeg2", "pcm_s16le"),
    "reordered.avi": ("mpeg4b", "libmp3lame"),
}


def ffmpeg(*args):
    subprocess.run([ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, args)], check=True)


def picture(seconds=SECONDS):
    return ["-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d={seconds}"]


def noise(seed=1, rate=RATE, seconds=SECONDS):
    return ["-f", "lavfi", "-i", f"anoisesrc=c=pink:a=0.3:r={rate}:d={seconds}:seed={seed}"]


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """Path of a named little film, made when first asked for."""
    folder = tmp_path_factory.mktemp("remux")

    def make(name):
        path = folder / name
        if not path.exists():
            codec, sound = MEDIA[name]
            ffmpeg(*picture(), *noise(), "-c:v", *PICTURE[codec], "-c:a", sound, path)
        if name.endswith(".ts") and subprocess.run([ffmpeg_exe(), "-v", "quiet", "-i", path]).returncode < 0:
            pytest.skip("this build of ffmpeg crashes on every MPEG-TS")
        return path

    return make


@pytest.fixture(scope="session")
def rich_mkv(tmp_path_factory):
    """Two sound tracks (44.1 and 48 kHz, the second the default), subtitles, chapters, a font, a cover."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "s.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\nhello\n")
    (folder / "font.ttf").write_bytes(b"\0\1\0\0" + b"x" * 100)
    (folder / "meta").write_text(";FFMETADATA1\ntitle=My film\nmine=kept\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1500\ntitle=one\n")
    ffmpeg(*picture(0.04), "-frames:v", "1", folder / "cover.jpg")
    ffmpeg(
        *picture(), *noise(1, 44_100), *noise(2), "-i", folder / "s.srt", "-i", folder / "meta",
        "-map", "1", "-map", "0", "-map", "2", "-map", "3", "-map_metadata", "4", "-map_chapters", "4",
        "-c:v", *PICTURE["x264"], "-c:a", "aac", "-c:s", "srt",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu",
        "-disposition:a:0", "0", "-disposition:a:1", "default+comment", "-disposition:s", "forced",
        "-attach", folder / "font.ttf", "-metadata:s:t:0", "mimetype=font/ttf",
        "-attach", folder / "cover.jpg", "-metadata:s:t:1", "mimetype=image/jpeg", folder / "rich.mkv",
    )  # fmt: skip
    return folder / "rich.mkv"


@pytest.fixture(scope="session")
def camera_mov(tmp_path_factory):
    """Like a telephone's film: rotated, time code track, chapter track, its own metadata keys."""
    folder = tmp_path_factory.mktemp("camera")
    (folder / "meta").write_text(";FFMETADATA1\ntitle=My film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=a\n")
    ffmpeg(
        *picture(), *noise(), "-i", folder / "meta", "-map", "0", "-map", "1", "-map_metadata", "2",
        "-c:v", *PICTURE["x264"], "-c:a", "aac", "-timecode", "01:00:00:00", "-movflags", "use_metadata_tags",
        "-metadata", "com.apple.quicktime.make=Apple", folder / "plain.mov",
    )  # fmt: skip
    ffmpeg("-display_rotation", "90", "-i", folder / "plain.mov", "-map", "0:v", "-map", "0:a", "-c", "copy",
           "-movflags", "use_metadata_tags", folder / "camera.mov")  # fmt: skip
    return folder / "camera.mov"


def moved_ms(before, after, track=0):
    """How much later the sound plays against the picture, by cross-correlation on the files' own clocks."""
    a, b = (read_sound(path, rate=RATE, track=track) for path in (before, after))
    n = 1 << (len(a) + len(b)).bit_length()
    curve = np.fft.irfft(np.fft.rfft(b, n) * np.conj(np.fft.rfft(a, n)), n)
    k = int(np.argmax(curve))
    later = (k if k < n / 2 else k - n) / RATE
    return 1000 * (later - (first_picture_s(after) - first_picture_s(before)))


def first_picture_s(path):
    with av.open(str(path)) as container:
        return next(frame.time for frame in container.decode(video=0)) - (container.start_time or 0) / av.time_base


def moved_from_zero_ms(before, after):
    """The same as a player that starts at zero hears it, through ffmpeg itself."""

    def samples(path):
        command = [ffmpeg_exe(), "-v", "error", "-nostdin", "-i", str(path), "-map", "0:a:0", "-af",
                   "aresample=async=1:first_pts=0", "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]  # fmt: skip
        return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)

    a, b = samples(before), samples(after)
    n = 1 << (len(a) + len(b)).bit_length()
    k = int(np.argmax(np.fft.irfft(np.fft.rfft(b, n) * np.conj(np.fft.rfft(a, n)), n)))
    return 1000 * (k if k < n / 2 else k - n) / RATE


def packets_md5(path, kind):
    with av.open(str(path)) as container:
        digest = hashlib.md5()
        for packet in container.demux(getattr(container.streams, kind)[0]):
            digest.update(bytes(packet) if packet.size else b"")
        return digest.hexdigest()


def picture_times(path):
    """Presentation times of all pictures, seconds after the first."""
    with av.open(str(path)) as container:
        times = sorted(p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None)
        return np.array([float(t - times[0]) for t in times])


def after_picture(path):
    """When the first subtitle shows and the first chapter starts, seconds after the first picture."""
    with av.open(str(path)) as container:
        subtitle, chapter = next(container.demux(subtitles=0)), container.chapters()[0]
        times = subtitle.pts * subtitle.time_base, chapter["start"] * chapter["time_base"]
        first = container.streams.video[0]
        return [float(t - first.start_time * first.time_base) for t in times]


def streams(path):
    with av.open(str(path)) as container:
        return [(s.type, s.metadata.get("language"), int(s.disposition)) for s in container.streams]


def an_info(path="in.mp4", format="mov,mp4,m4a,3gp,3g2,mj2", codec="aac", tracks=1, **changes):
    track = dict(index=1, codec=codec, sample_rate=48_000, channels=2, layout="stereo", start_s=0.0,
                 duration_s=10.0, language=None, bit_rate=96_000)  # fmt: skip
    return MediaInfo(
        path=Path(path), format=format, duration_s=10.0, start_s=0.0,
        video=VideoInfo(index=0, codec="h264", width=64, height=48, fps=25.0, start_s=0.0, duration_s=10.0, rotation=0),
        audio=tuple(AudioInfo(**(track | changes)) for _ in range(tracks)),
    )  # fmt: skip


def after(command, option):
    return command[command.index(option) + 1]


# --- the command -----------------------------------------------------------------------------------


def test_command_is_a_list_that_no_file_name_can_break():
    command = build_command("ffmpeg", an_info("-i \"x'\n.mp4"), "-y z.mp4", 0.2, False)
    assert command[0] == "ffmpeg" and "-nostdin" in command
    assert after(command, "-i") == "file:-i \"x'\n.mp4"
    assert command[-1] == "file:-y z.mp4"
    assert after(command, "-protocol_whitelist") == "file"
    assert after(command, "-c") == "copy" and after(command, "-map") == "0"
    assert "-shortest" not in command


def test_copy_moves_only_sound_timestamps():
    assert "PTS+round(0.200000/TB)" in after(build_command("ffmpeg", an_info(), "o.mp4", 0.2, False), "-bsf:a")
    assert "-bsf:a" not in build_command("ffmpeg", an_info(), "o.mp4", 0.0, False)


def test_without_edit_lists_everything_else_waits_for_early_sound():
    assert "-itsoffset" not in build_command("ffmpeg", an_info(), "o.mp4", -0.2, False)
    assert "-itsoffset" not in build_command("ffmpeg", an_info(), "o.mkv", 0.2, False)
    assert after(build_command("ffmpeg", an_info(), "o.mkv", -0.2, False), "-itsoffset") == "0.200000"
    late = an_info(start_s=0.15)
    assert after(build_command("ffmpeg", late, "o.mkv", -0.2, False), "-itsoffset") == "0.050000"


def test_streams_can_be_left_out():
    command = build_command("ffmpeg", an_info(), "o.mp4", 0.0, False, Extras(left_out=(3, 5)))
    assert [command[i + 1] for i, word in enumerate(command) if word == "-map"] == ["0", "-0:3", "-0:5"]


@pytest.mark.parametrize(
    ("suffix", "format", "baked"),
    [(".mp4", "mov,mp4", False), (".mkv", "matroska,webm", False), (".avi", "avi", True), (".mp4", "avi", True),
     (".mxf", "mxf", True), (".ogv", "ogg", True)],
)  # fmt: skip
def test_sound_is_encoded_only_where_timestamps_cannot_move_it(suffix, format, baked):
    assert is_baked(an_info(format=format), f"o{suffix}", 0.2, False) is baked
    assert not is_baked(an_info(format=format), f"o{suffix}", 0.0, False)
    assert is_baked(an_info(format=format), f"o{suffix}", 0.0, True)


def test_every_track_is_encoded_in_its_own_kind():
    command = build_command("ffmpeg", an_info(tracks=2, codec="mp3float"), "o.mp4", 0.25, True)
    for number in (0, 1):
        assert after(command, f"-c:a:{number}") == "libmp3lame"
        assert after(command, f"-filter:a:{number}").endswith("adelay=12000S:all=1")
    assert "-bsf:a" not in command


@pytest.mark.parametrize(
    ("codec", "name", "encoder"),
    [("aac", "o.mp4", "aac"), ("opus", "o.webm", "libopus"), ("vorbis", "o.mkv", "libvorbis"), ("ac3", "o.mkv", "ac3"),
     ("pcm_s24le", "o.mov", "pcm_s24le"), ("dca", "o.mkv", "aac"), ("dca", "o.avi", "libmp3lame"),
     ("flac", "o.mkv", "flac"), ("alac", "o.m4v", "alac"), ("aac", "o.webm", "libopus"), ("mp2float", "o.mpg", "mp2")],
)  # fmt: skip
def test_encoder(codec, name, encoder):
    command = build_command("ffmpeg", an_info(codec=codec), name, -0.2, True)
    assert after(command, "-c:a:0") == encoder
    assert ("-b:a:0" in command) == (encoder not in ("flac", "alac", "pcm_s24le", "libvorbis"))


@pytest.mark.parametrize(
    ("codec", "bit_rate", "channels", "expected"),
    [("aac", 64_000, 2, 128_000), ("aac", 256_000, 2, 256_000), ("aac", None, 2, 192_000), ("aac", None, 6, 576_000),
     ("mp3float", 400_000, 2, 320_000), ("mp2float", 200_000, 2, 224_000), ("opus", 900_000, 2, 512_000)],
)  # fmt: skip
def test_bit_rate_is_at_least_the_source_s(codec, bit_rate, channels, expected):
    info = an_info(codec=codec, bit_rate=bit_rate, channels=channels)
    assert int(after(build_command("ffmpeg", info, "o.mkv", 0.1, True), "-b:a:0")) == expected


# --- how far it moves ------------------------------------------------------------------------------


@pytest.mark.parametrize("shift_ms", [0, 40, -40, 200, -200, 450, -450, 137.3])
@pytest.mark.parametrize("name", ["aac.mp4", "pcm.mov", "aac.mkv"])
def test_copied_sound_moves_exactly(media, tmp_path, name, shift_ms):
    source, out = media(name), tmp_path / name
    done = shift_sound(source, out, shift_ms)
    assert not done.reencoded
    # Matroska counts whole milliseconds; the others are good to the sample.
    assert moved_ms(source, out) == pytest.approx(shift_ms, abs=0.6 if name.endswith("mkv") else 0.05)
    assert packets_md5(source, "video") == packets_md5(out, "video")
    np.testing.assert_allclose(picture_times(out), picture_times(source), atol=1e-6)
    if name != "aac.mkv":  # there the picture waits instead, which a player from zero cannot show
        assert moved_from_zero_ms(source, out) == pytest.approx(shift_ms, abs=0.05)


@pytest.mark.parametrize("shift_ms", [0, 130, -170])
@pytest.mark.parametrize("name", ["aac.m4v", "opus.webm", "ac3.ts", "mp2.mpg", "mp3.avi", "reordered.avi", "pcm.mxf"])
def test_other_containers_move_exactly(media, tmp_path, name, shift_ms):
    source, out = media(name), tmp_path / name
    done = shift_sound(source, out, shift_ms)
    assert moved_ms(source, out) == pytest.approx(shift_ms, abs=0.6)
    assert packets_md5(source, "video") == packets_md5(out, "video")
    assert done.reencoded == (name.endswith(("avi", "mxf")) and shift_ms != 0)
    assert any("encoded anew" in note for note in done.notes) == done.reencoded


@pytest.mark.parametrize("shift_ms", [200, -200])
@pytest.mark.parametrize("name", ["aac.mp4", "pcm.mov", "opus.webm", "mp2.mpg", "mp3.avi"])
def test_encoded_sound_moves_within_a_millisecond(media, tmp_path, name, shift_ms):
    source, out = media(name), tmp_path / name
    done = shift_sound(source, out, shift_ms, reencode=True)
    assert done.reencoded
    assert moved_ms(source, out) == pytest.approx(shift_ms, abs=0.5)
    assert packets_md5(source, "video") == packets_md5(out, "video")
    before, now = probe(source), probe(out)
    assert now.audio[0].codec == before.audio[0].codec
    assert now.audio[0].sample_rate == before.audio[0].sample_rate
    assert now.video.start_s - now.audio[0].start_s == pytest.approx(0, abs=0.11)  # the move is in the samples


@pytest.mark.parametrize("tempo", [1 + 200 / 60_000, 1 - 20 / 60_000, 24 / 23.976])
def test_another_tempo_is_right_from_end_to_end(tmp_path, tempo):
    source, out = tmp_path / "long.mkv", tmp_path / "out.mkv"
    ffmpeg(*picture(60), *noise(seconds=60), "-c:v", *PICTURE["mpeg4"], "-c:a", "flac", source)
    done = shift_sound(source, out, -100, tempo=tempo)
    assert done.reencoded and probe(out).audio[0].sample_rate == RATE
    assert packets_md5(source, "video") == packets_md5(out, "video")
    before, after = (read_sound(path, rate=RATE) for path in (source, out))
    for at_s in (1.0, 30.0, 58.0):
        # What was heard at t is now heard at (t - 0.1) / tempo; a tenth of a second hardly stretches.
        piece = before[round(at_s * RATE) :][: RATE // 10]
        expected = round((at_s - 0.1) / tempo * RATE)
        near = after[expected - 960 : expected + 960 + len(piece)]
        found = int(np.argmax(np.correlate(near, piece, "valid"))) - 960
        # The middle of the piece is where its correlation is best.
        assert found / RATE == pytest.approx(0.05 * (1 / tempo - 1), abs=2e-4), at_s


def test_rates_are_exact():
    for tempo in (1.0001, 0.9997, 25 / 24, 1 + 20 / 60_000):
        before, after = remux._rates(48_000, tempo)
        assert min(before, after) >= 45_000 and abs(after / before - tempo) * 7200 < 1e-4, "a tenth of a millisecond in two hours"


@pytest.mark.parametrize("name", ["aac.mp4", "aac.mkv"])
def test_moving_there_and_back_loses_nothing(media, tmp_path, name):
    source, there, back = media(name), tmp_path / f"there-{name}", tmp_path / f"back-{name}"
    shift_sound(source, there, -300)
    shift_sound(there, back, 300)
    assert moved_ms(source, back) == pytest.approx(0, abs=0.05)
    a, b = read_sound(source), read_sound(back)
    assert np.abs(a[: len(b)] - b[: len(a)]).max() < 1e-3


@pytest.mark.parametrize(("source", "out"), [("aac.mkv", "o.mp4"), ("aac.mp4", "o.mkv"), ("reordered.avi", "o.mkv")])
def test_another_container_keeps_the_move(media, tmp_path, source, out):
    shift_sound(media(source), tmp_path / out, -200)
    assert moved_ms(media(source), tmp_path / out) == pytest.approx(-200, abs=1)


def test_notes_say_what_becomes_of_early_sound(media, tmp_path):
    assert shift_sound(media("aac.mp4"), tmp_path / "a.mp4", 200).notes == ()
    assert "first 200 ms of sound" in shift_sound(media("aac.mp4"), tmp_path / "b.mp4", -200).notes[0]
    assert "picture starts 200 ms into" in shift_sound(media("aac.mkv"), tmp_path / "c.mkv", -200).notes[0]
    assert "were cut" in shift_sound(media("aac.mkv"), tmp_path / "d.mkv", -200, reencode=True).notes[0]


@pytest.mark.parametrize(
    ("source", "shift_ms", "reencode", "cut_ms"),
    [("aac.mp4", 200, False, 0), ("aac.mp4", -200, False, 200), ("aac.mkv", -200, False, 0), ("aac.mkv", -137.3, True, 137.3)],
)
def test_sound_that_is_not_heard_any_more_is_counted(media, tmp_path, source, shift_ms, reencode, cut_ms):
    written = shift_sound(media(source), tmp_path / source, shift_ms, reencode=reencode)
    assert written.cut_ms == pytest.approx(cut_ms, abs=0.1)
    assert written.to_dict()["cut_ms"] == written.cut_ms


@pytest.mark.parametrize("codec", ["flac", "alac"])
@pytest.mark.parametrize("shift_ms", [200, -120, -333.3])
def test_lossless_sound_in_an_edit_list(tmp_path, codec, shift_ms):
    """Heard with ffmpeg, whose decoder drops too much of a copy that begins before zero."""
    source, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg(*picture(), *noise(), "-c:v", "libx264", "-preset", "ultrafast", "-c:a", codec, source)
    written = shift_sound(source, out, shift_ms)
    assert written.reencoded == (shift_ms < 0)
    if shift_ms < 0:
        assert f"with {codec.upper()}" in written.notes[0]

    def heard(path):
        command = [remux.ffmpeg_exe(), "-v", "error", "-i", path, "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-f", "f32le", "-"]
        return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)

    before, after = heard(source), heard(out)
    begin, samples = max(0, round(shift_ms / 1000 * RATE)), RATE // 2
    piece = before[max(0, -round(shift_ms / 1000 * RATE)) :][:samples]
    assert np.abs(after[begin : begin + samples] - piece).max() < 1e-3
    assert probe(out).audio[0].codec == codec


# --- what is kept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shift_ms", [200, -200])
def test_everything_in_a_matroska_is_kept(rich_mkv, tmp_path, shift_ms):
    out = tmp_path / "o.mkv"
    shift_sound(rich_mkv, out, shift_ms)
    assert streams(out) == streams(rich_mkv)
    for track in (0, 1):
        assert moved_ms(rich_mkv, out, track) == pytest.approx(shift_ms, abs=0.6)
    assert after_picture(out) == pytest.approx(after_picture(rich_mkv), abs=1.1e-3)
    with av.open(str(out)) as container, av.open(str(rich_mkv)) as before:
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert (tags["title"], tags["mine"]) == ("My film", "kept")
        names = [s.metadata.get("filename") for s in container.streams]
        assert names == [s.metadata.get("filename") for s in before.streams]
        assert container.chapters()[0]["metadata"]["title"] == "one"


def test_no_track_is_made_the_default(rich_mkv, tmp_path):
    source, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    ffmpeg("-i", rich_mkv, "-map", "0:v:0", "-map", "0:a", "-c", "copy", "-disposition:a", "0", source)
    shift_sound(source, out, 100)
    assert streams(out) == streams(source)


def test_a_cover_stays_a_cover_in_mp4(media, tmp_path):
    cover, source, out = tmp_path / "c.jpg", tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg("-i", media("aac.mp4"), "-frames:v", "1", cover)
    ffmpeg("-i", media("aac.mp4"), "-i", cover, "-map", "0", "-map", "1", "-c", "copy",
           "-disposition:v:1", "attached_pic", source)  # fmt: skip
    shift_sound(source, out, -100)
    assert streams(out) == streams(source)
    shift_sound(source, tmp_path / "out.mkv", -100)
    assert streams(tmp_path / "out.mkv")[2][0::2] == streams(source)[2][0::2]


@pytest.mark.parametrize("shift_ms", [200, -200])
def test_a_camera_s_mov_keeps_rotation_time_code_and_keys(camera_mov, tmp_path, shift_ms):
    out = tmp_path / "o.mov"
    done = shift_sound(camera_mov, out, shift_ms)
    assert not any("left out" in note for note in done.notes)
    assert probe(out).video.rotation == probe(camera_mov).video.rotation != 0
    assert moved_ms(camera_mov, out) == pytest.approx(shift_ms, abs=0.05)
    assert streams(out) == streams(camera_mov)
    with av.open(str(out)) as container:
        assert container.metadata["com.apple.quicktime.make"] == "Apple"
        assert any(s.metadata.get("timecode") == "01:00:00:00" for s in container.streams.data)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("shift_ms", [200, -200])
def test_colours_of_hdr_and_the_date_are_kept(tmp_path, suffix, shift_ms):
    source, out = tmp_path / f"hdr{suffix}", tmp_path / f"out{suffix}"
    hdr = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:"
    hdr += "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    ffmpeg(
        *picture(), *noise(), "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", f"log-level=none:{hdr}",
        "-c:a", "aac", "-metadata", "creation_time=2024-05-06T07:08:09Z", source,
    )  # fmt: skip
    shift_sound(source, out, shift_ms)
    seen = []
    for path in (source, out):
        with av.open(str(path)) as container:
            picture_, date = container.streams.video[0], container.metadata.get("creation_time")
            frame = next(container.decode(picture_))
            colours = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.format.name)
            seen.append((date, colours, sorted(str(x.type) for x in frame.side_data)))
    assert seen[0] == seen[1] and seen[0][0].startswith("2024-05-06") and seen[0][1][:2] == (9, 16)
    assert any("MASTERING" in kind for kind in seen[1][2]), seen


def test_two_tracks_of_different_rates_are_exact_in_mp4(rich_mkv, tmp_path):
    two = tmp_path / "two.mp4"
    ffmpeg("-i", rich_mkv, "-map", "0:v:0", "-map", "0:a", "-c", "copy", two)
    shift_sound(two, tmp_path / "o.mp4", 137)
    for track in (0, 1):
        assert moved_ms(two, tmp_path / "o.mp4", track) == pytest.approx(137, abs=0.1)


def test_data_that_cannot_be_copied_is_left_out_with_a_note(media, tmp_path):
    (tmp_path / "bytes").write_bytes(b"telemetry" * 100)
    source = tmp_path / "in.ts"
    data = ["-f", "data", "-i", tmp_path / "bytes"]
    ffmpeg("-i", media("ac3.ts"), *data, "-map", "0", "-map", "1", "-c", "copy", source)
    kept = shift_sound(source, tmp_path / "o.ts", 100)
    assert kept.notes == () and streams(tmp_path / "o.ts") == streams(source)
    done = shift_sound(source, tmp_path / "o.mkv", 100)
    assert done.notes == ("1 data track(s) left out: .mkv cannot take them as they are",)
    assert "-0:2" in done.command
    assert [kind for kind, *_ in streams(tmp_path / "o.mkv")] == ["video", "audio"]


# --- what is refused -------------------------------------------------------------------------------


def check_nothing_left(folder, *names):
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_never_onto_the_input(media, tmp_path, link):
    source = tmp_path / "in.mp4"
    source.write_bytes(media("aac.mp4").read_bytes())
    out = source
    if link:
        out = tmp_path / "other.mp4"
        link(source, out)
    with pytest.raises(OutputError, match="is the input itself"):
        shift_sound(source, out, 100, overwrite=True)
    assert source.read_bytes() == media("aac.mp4").read_bytes()


def test_existing_output_needs_overwrite(media, tmp_path):
    out = tmp_path / "o.mp4"
    out.write_bytes(b"mine")  # damaged, but somebody's video by its name
    with pytest.raises(OutputError, match="-y"):
        shift_sound(media("aac.mp4"), out, 100)
    with pytest.raises(OutputError, match="--overwrite-media"):
        shift_sound(media("aac.mp4"), out, 100, overwrite=True)
    assert out.read_bytes() == b"mine"
    shift_sound(media("aac.mp4"), out, 50, overwrite=Overwrite.ANY)
    shift_sound(media("aac.mp4"), out, 100, overwrite=True)  # resync's own by now
    assert moved_ms(media("aac.mp4"), out) == pytest.approx(100, abs=0.05)
    check_nothing_left(tmp_path, "o.mp4")


@pytest.mark.parametrize(("name", "words"), [("no/such/o.mp4", "does not exist"), ("", "is a folder"), ("o", "no file type")])
def test_bad_targets(media, tmp_path, name, words):
    with pytest.raises(OutputError, match=words) as error:
        shift_sound(media("aac.mp4"), tmp_path / name, 100)
    assert "\n" not in str(error.value)
    check_nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["o.webm", "o.nosuchkind"])
def test_a_container_that_cannot_hold_it_is_named_with_the_way_out(media, tmp_path, name):
    with pytest.raises(RemuxError, match=r"\.mkv") as error:
        shift_sound(media("aac.mp4"), tmp_path / name, 100)
    assert "\n" not in str(error.value) and "0x" not in str(error.value) and ".resync-" not in str(error.value)
    check_nothing_left(tmp_path)


def test_subtitles_are_never_dropped_silently(rich_mkv, tmp_path):
    with pytest.raises(RemuxError, match=r"\.mkv"):
        shift_sound(rich_mkv, tmp_path / "o.mp4", 100)
    check_nothing_left(tmp_path)


def test_a_result_that_lacks_a_stream_is_thrown_away(rich_mkv, tmp_path, monkeypatch):
    monkeypatch.setattr(remux, "_look_at_extras", lambda *_: (Extras(left_out=(2,)), ()))
    with pytest.raises(RemuxError, match="1 audio"):
        shift_sound(rich_mkv, tmp_path / "o.mkv", 100)
    check_nothing_left(tmp_path)


def test_formats_without_picture_times_are_refused_from_others(media, tmp_path):
    with pytest.raises(RemuxError, match="picture timing"):
        shift_sound(media("aac.mp4"), tmp_path / "o.avi", 100)


def test_moving_all_sound_before_the_start_is_refused(media, tmp_path):
    with pytest.raises(RemuxError, match="before the start"):
        shift_sound(media("aac.mp4"), tmp_path / "o.mp4", -60_000)


def test_no_sound(media, tmp_path):
    ffmpeg("-i", media("aac.mp4"), "-an", "-c", "copy", tmp_path / "mute.mp4")
    with pytest.raises(MediaError, match="no sound track"):
        shift_sound(tmp_path / "mute.mp4", tmp_path / "o.mp4", 100)


@pytest.mark.parametrize("blow", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_is_left_after_an_interruption(media, tmp_path, monkeypatch, blow):
    def interrupted(command, src, dst):
        Path(command[-1].removeprefix("file:")).write_bytes(b"half")
        raise blow

    monkeypatch.setattr(remux, "_run", interrupted)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        shift_sound(media("aac.mp4"), tmp_path / "o.mp4", 100)
    check_nothing_left(tmp_path)


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 16 KiB; wants the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder], capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="no mount command")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk(media, full_disk, overwrite):
    out = full_disk / "o.mp4"
    if overwrite:
        out.write_text("the old one")
    with pytest.raises((OutputError, RemuxError), match="o.mp4.*(room|another place)"):
        shift_sound(media("aac.mp4"), out, 200, overwrite=Overwrite.ANY)
    assert [p.name for p in full_disk.iterdir()] == (["o.mp4"] if overwrite else [])
    assert not overwrite or out.read_text() == "the old one"


def test_another_file_system(media, tmp_path):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one file system here")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        shift_sound(media("aac.mp4"), Path(folder) / "o.mp4", 200)
        assert moved_ms(media("aac.mp4"), Path(folder) / "o.mp4") == pytest.approx(200, abs=1)
        assert [p.name for p in Path(folder).iterdir()] == ["o.mp4"]


def test_no_ffmpeg(monkeypatch):
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: (_ for _ in ()).throw(RuntimeError("none")))
    with pytest.raises(RemuxError, match="IMAGEIO_FFMPEG_EXE"):
        ffmpeg_exe()


def test_an_ffmpeg_that_is_not_there(media, tmp_path, monkeypatch):
    monkeypatch.setattr(remux, "ffmpeg_exe", lambda: "/no/such/ffmpeg")
    with pytest.raises(RemuxError, match="cannot be run"):
        shift_sound(media("aac.mp4"), tmp_path / "o.mp4", 100)


# --- files -----------------------------------------------------------------------------------------


def test_awkward_names(media, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-y.mp4", "a b'\"$(x).mp4", "new\nline.mp4", "http:x.mp4", "50%d.mp4"):
        Path(name).write_bytes(media("aac.mp4").read_bytes())
        done = shift_sound(name, f"-out {name}", 100)
        assert done.path == Path(f"-out {name}") and done.path.is_file()
        assert done.command[-1] == f"file:-out {name}"


def test_a_link_is_written_through(media, tmp_path):
    real, link = tmp_path / "real.mp4", tmp_path / "link.mp4"
    real.write_bytes(b"old")
    link.symlink_to(real)
    shift_sound(media("aac.mp4"), link, 100, overwrite=Overwrite.ANY)
    assert link.is_symlink() and real.stat().st_size > 1000


def test_a_private_source_gives_a_private_result(media, tmp_path):
    source, out = tmp_path / "in.mp4", tmp_path / "o.mp4"
    source.write_bytes(media("aac.mp4").read_bytes())
    source.chmod(0o400)
    shift_sound(source, out, 100)
    assert out.stat().st_mode & 0o777 == 0o600


def test_standard_input_is_left_alone(media, tmp_path, monkeypatch):
    given, real = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: given.append(k.get("stdin")) or real(*a, **k))
    shift_sound(media("aac.mp4"), tmp_path / "o.mp4", 100)
    assert given == [subprocess.DEVNULL]


def test_a_late_picture_does_not_take_the_clock_with_it(tmp_path):
    """Sound first, picture 80 ms later: once the sound is moved behind it, nothing else would begin at zero."""
    late, out = tmp_path / "late.mp4", tmp_path / "out.mp4"
    ffmpeg("-itsoffset", "0.08", *picture(), *noise(), "-map", "0", "-map", "1", "-c:v", *PICTURE["x264"], "-c:a", "aac", late)
    assert probe(late).video.start_s == pytest.approx(0.08, abs=0.001)

    def heard(path):
        command = [
            ffmpeg_exe(),
            "-v",
            "error",
            "-i",
            path,
            "-af",
            "aresample=async=1:first_pts=0",
            "-ac",
            "1",
            "-ar",
            "16000",
            "-f",
            "f32le",
            "-",
        ]
        return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)

    before = heard(late)
    for shift_ms in (30, 300):
        written = shift_sound(late, out, shift_ms, overwrite=True)
        assert any("first picture" in note for note in written.notes)
        later = np.correlate(heard(out)[: 16 * 900], before[: 16 * 500], "valid").argmax() / 16
        assert later == pytest.approx(shift_ms, abs=0.2)
        with av.open(str(late)) as a, av.open(str(out)) as b:
            old, new = ([(p.pts, bytes(p)) for p in c.demux(video=0) if p.size] for c in (a, b))
        assert [data for _, data in old] == [data for _, data in new] and new[0][0] == 0
    assert not any("first picture" in note for note in shift_sound(late, out, -30, overwrite=True).notes)
