"""The ffmpeg command lines."""

from dataclasses import replace

from helpers import media_info

from resync.remux.command import Extras, build_command, build_recording_command
from resync.remux.correction import Correction, PieceShift
from resync.remux.plan import Plan, plan_shift


def option(command, name):
    """The word after an option."""
    return command[command.index(name) + 1]


def shift_command(info, dst, shift_ms, reencode=False, extras=Extras()):
    correction = Correction(shift_ms)
    return build_command("ffmpeg", info, dst, correction, plan_shift(info, dst, correction, reencode), extras)


def maps(command):
    return [command[i + 1] for i, word in enumerate(command) if word == "-map"]


def test_file_names_cannot_be_taken_for_options_or_protocols():
    command = shift_command(media_info("-i \"x'\n.mp4"), "-y z.mp4", 200)
    assert command[0] == "ffmpeg" and "-nostdin" in command
    assert option(command, "-i") == "file:-i \"x'\n.mp4"
    assert command[-1] == "file:-y z.mp4"
    assert option(command, "-protocol_whitelist") == "file"
    assert option(command, "-c") == "copy" and option(command, "-map") == "0"
    assert "-shortest" not in command


def test_stream_copy_shifts_audio_timestamps_only():
    command = shift_command(media_info(), "o.mp4", 200)
    assert "PTS+round(0.200000/TB)" in option(command, "-bsf:a") and "-bsf:v" not in command and "-itsoffset" not in command
    assert "-bsf:a" not in shift_command(media_info(), "o.mp4", 0)


def test_video_is_delayed_as_planned():
    command = build_command("ffmpeg", media_info(), "o.mkv", Correction(-200), Plan(video_delay_s=0.05))
    assert option(command, "-itsoffset") == "0.050000"
    assert command.index("-itsoffset") < command.index("-i")


def test_streams_can_be_left_out():
    command = shift_command(media_info(), "o.mp4", 0, extras=Extras(left_out=(3, 5)))
    assert maps(command) == ["0", "-0:3", "-0:5"]


def test_reencoding_applies_the_shift_to_each_track_in_its_own_codec():
    command = shift_command(media_info(tracks=2, codec="mp3float"), "o.mp4", 250, reencode=True)
    for number in (0, 1):
        assert option(command, f"-c:a:{number}") == "libmp3lame"
        assert option(command, f"-filter:a:{number}").endswith("adelay=12000S:all=1")
    assert "-bsf:a" not in command


def test_spliced_tracks_are_read_from_standard_input_in_their_place():
    info = media_info(tracks=2, codec="ac3", channels=6, layout="5.1(side)")
    info = replace(info, audio=(replace(info.audio[0], index=1), replace(info.audio[1], index=3)))
    streams = ((0, "video", "default"), (1, "audio", "0"), (2, "subtitle", "0"), (3, "audio", "default+comment"), (4, "data", "0"))
    correction = Correction.from_pieces([PieceShift(0, 5, 40), PieceShift(5, 10, -80)])
    plan = plan_shift(info, "o.mkv", correction)
    assert plan.reencode and plan.spliced and plan.reencode_reason is None and plan.video_delay_s == 0
    command = build_command("ffmpeg", info, "o.mkv", correction, plan, Extras(left_out=(4,), streams=streams))
    assert command[command.index("-i") + 2 :][:6] == ["-protocol_whitelist", "pipe", "-f", "nut", "-i", "pipe:0"]
    assert maps(command) == ["0:a", "0:0", "1:0", "0:2", "1:1"], "the original audio goes nowhere"
    assert option(command, "-disposition:3") == "default+comment" and option(command, "-map_metadata:s:3") == "0:s:3"
    for number in (0, 1):
        assert option(command, f"-filter:a:{number}").startswith("channelmap=map=0|1|2|3|4|5:channel_layout=5.1(side),")
        assert option(command, f"-c:a:{number}") == "ac3"


def test_each_track_has_its_own_timestamps():
    each = [Correction(200), Correction(0)]
    command = build_command("ffmpeg", media_info(tracks=2), "o.mp4", each, plan_shift(media_info(tracks=2), "o.mp4", each))
    assert option(command, "-bsf:a:0") == "setts=pts=PTS+round(0.200000/TB):dts=DTS+round(0.200000/TB)"
    assert "-bsf:a" not in command and option(command, "-bsf:a:1") == "setts=pts=PTS+0:dts=DTS+0"
    same = [Correction(200), Correction(200)]
    command = build_command("ffmpeg", media_info(tracks=2), "o.mp4", same, plan_shift(media_info(tracks=2), "o.mp4", same))
    assert "-bsf:a:0" not in command and "0.200000" in option(command, "-bsf:a")


def test_recording_becomes_the_first_and_default_audio_track():
    info, recording = media_info(tracks=2), media_info("mic.wav", "wav", "pcm_s16le", index=0)
    command = build_recording_command("ffmpeg", info, recording, "o.mp4", Correction(100), 10.0, Extras(left_out=(4,)))
    assert maps(command) == ["0:v?", "1:0", "0:a?", "0:s?", "0:d?", "0:t?", "-0:4"]
    assert option(command, "-filter:a:0").endswith("adelay=4800S:all=1,apad,atrim=end=10.000000")
    assert option(command, "-c:a:0") == "aac", "few players play PCM in an MP4"
    assert [option(command, f"-disposition:a:{number}") for number in (0, 1, 2)] == ["default", "-default", "-default"]
