"""What a remuxed file keeps: tracks, dispositions, covers, chapters, metadata, HDR colours, data streams."""

import av
import pytest
from helpers import ffmpeg, noise_input, pattern_input, shift_between_ms

from resync.media.probe import probe
from resync.remux.apply import shift_audio
from resync.remux.correction import Correction


def streams(path):
    """(type, language, disposition) of all streams."""
    with av.open(str(path)) as container:
        return [(s.type, s.metadata.get("language"), int(s.disposition)) for s in container.streams]


def times_after_first_frame(path):
    """When the first subtitle and the first chapter start, seconds after the first frame."""
    with av.open(str(path)) as container:
        subtitle, chapter = next(container.demux(subtitles=0)), container.chapters()[0]
        times = subtitle.pts * subtitle.time_base, chapter["start"] * chapter["time_base"]
        video = container.streams.video[0]
        return [float(time - video.start_time * video.time_base) for time in times]


@pytest.mark.parametrize("shift_ms", [200, -200])
def test_matroska_keeps_everything(rich_mkv, tmp_path, shift_ms):
    out = tmp_path / "o.mkv"
    shift_audio(rich_mkv, out, Correction(shift_ms))
    assert streams(out) == streams(rich_mkv)
    for track in (0, 1):
        assert shift_between_ms(rich_mkv, out, track=track) == pytest.approx(shift_ms, abs=0.6)
    assert times_after_first_frame(out) == pytest.approx(times_after_first_frame(rich_mkv), abs=1.1e-3)
    with av.open(str(out)) as container, av.open(str(rich_mkv)) as original:
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert (tags["title"], tags["mine"]) == ("My video", "kept")
        names = [s.metadata.get("filename") for s in container.streams]
        assert names == [s.metadata.get("filename") for s in original.streams]
        assert container.chapters()[0]["metadata"]["title"] == "one"


def test_no_track_becomes_the_default(rich_mkv, tmp_path):
    source, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    ffmpeg("-i", rich_mkv, "-map", "0:v:0", "-map", "0:a", "-c", "copy", "-disposition:a", "0", source)
    shift_audio(source, out, Correction(100))
    assert streams(out) == streams(source)


def test_a_cover_stays_a_cover(media, tmp_path):
    cover, source, out = tmp_path / "c.jpg", tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg("-i", media("aac.mp4"), "-frames:v", "1", cover)
    ffmpeg("-i", media("aac.mp4"), "-i", cover, "-map", "0", "-map", "1", "-c", "copy",
           "-disposition:v:1", "attached_pic", source)  # fmt: skip
    shift_audio(source, out, Correction(-100))
    assert streams(out) == streams(source)
    shift_audio(source, tmp_path / "out.mkv", Correction(-100))
    assert streams(tmp_path / "out.mkv")[2][0::2] == streams(source)[2][0::2]


@pytest.mark.parametrize("shift_ms", [200, -200])
def test_mov_keeps_rotation_timecode_and_metadata_keys(camera_mov, tmp_path, shift_ms):
    out = tmp_path / "o.mov"
    written = shift_audio(camera_mov, out, Correction(shift_ms))
    assert not any("left out" in note for note in written.notes)
    assert probe(out).video.rotation == probe(camera_mov).video.rotation != 0
    assert shift_between_ms(camera_mov, out) == pytest.approx(shift_ms, abs=0.05)
    assert streams(out) == streams(camera_mov)
    with av.open(str(out)) as container:
        assert container.metadata["com.apple.quicktime.make"] == "Apple"
        assert any(s.metadata.get("timecode") == "01:00:00:00" for s in container.streams.data)


def test_mp4_keeps_non_standard_metadata_keys(media, tmp_path):
    source, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg("-i", media("aac.mp4"), "-c", "copy", "-movflags", "use_metadata_tags", "-metadata", "mine=kept", source)
    shift_audio(source, out, Correction(100))
    with av.open(str(out)) as container:
        assert container.metadata["mine"] == "kept"


def colours_and_date(path):
    """(creation time, colour description, side data types of the first frame)."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        colours = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.format.name)
        return container.metadata.get("creation_time"), colours, sorted(str(data.type) for data in frame.side_data)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("shift_ms", [200, -200])
def test_hdr_colours_and_creation_time_are_kept(tmp_path, suffix, shift_ms):
    source, out = tmp_path / f"hdr{suffix}", tmp_path / f"out{suffix}"
    hdr = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:"
    hdr += "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    ffmpeg(
        *pattern_input(), *noise_input(), "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le",
        "-x265-params", f"log-level=none:{hdr}", "-c:a", "aac", "-metadata", "creation_time=2024-05-06T07:08:09Z", source,
    )  # fmt: skip
    shift_audio(source, out, Correction(shift_ms))
    date, colours, side_data = before = colours_and_date(source)
    assert colours_and_date(out) == before
    assert date.startswith("2024-05-06") and colours[:2] == (9, 16) and any("MASTERING" in kind for kind in side_data)


def test_data_that_the_container_cannot_store_is_left_out_with_a_note(media, tmp_path):
    (tmp_path / "bytes").write_bytes(b"telemetry" * 100)
    source = tmp_path / "in.ts"
    ffmpeg("-i", media("ac3.ts"), "-f", "data", "-i", tmp_path / "bytes", "-map", "0", "-map", "1", "-c", "copy", source)
    kept = shift_audio(source, tmp_path / "o.ts", Correction(100))
    assert kept.notes == () and streams(tmp_path / "o.ts") == streams(source)
    written = shift_audio(source, tmp_path / "o.mkv", Correction(100))
    assert written.notes == ("1 data stream(s) left out: .mkv cannot store them",)
    assert "-0:2" in written.command
    assert [kind for kind, *_ in streams(tmp_path / "o.mkv")] == ["video", "audio"]
