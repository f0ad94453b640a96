"""What can be watched, and what a stream may make libav read."""

import os
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from helpers import ffmpeg, noise_input, pattern_input

from resync.errors import MediaError
from resync.live.inputs import FollowedFile, Kind, UnsupportedInput, open_live, parse_input

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A test pattern with noise, MPEG-TS."""
    path = tmp_path_factory.mktemp("live") / "clip.ts"
    ffmpeg(*pattern_input(), *noise_input(), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", path)
    return path


@contextmanager
def server(folder):
    """A web server for a folder: yields its URL, and the paths that were asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as web:
        Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}", asked
        web.shutdown()


def playlist(path, segment) -> None:
    """A finished HLS playlist of one segment."""
    path.write_text(f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.5,\n{segment}\n#EXT-X-ENDLIST\n")


def frames(location) -> int:
    """How many frames of video an input has. Raises MediaError."""
    with open_live(parse_input(str(location)), 1.0, Event(), lambda stalls: None) as (container, _):
        return sum(1 for _ in container.decode(video=0))


def test_kinds_of_input(tmp_path, clip):
    assert parse_input("-").kind is Kind.PIPE and parse_input("UDP://239.0.0.1:5000").kind is Kind.URL
    assert parse_input(str(clip)).kind is Kind.FILE
    (tmp_path / "live.m3u8").touch()
    assert parse_input(str(tmp_path / "live.m3u8")).kind is Kind.PLAYLIST
    for location in ("gopher://host/x", "file:///etc/passwd", str(tmp_path), str(tmp_path / "none.ts")):
        with pytest.raises(MediaError, match="(?s)^[^\n]+$"):
            parse_input(location)


@pytest.mark.parametrize(
    "url, name",
    [
        ("rtmp://user:password@host/live", "rtmp://host/live"),
        ("srt://host:9000?passphrase=secret&streamid=key", "srt://host:9000"),
        ("https://host/x.m3u8?token=secret#secret", "https://host/x.m3u8"),
        ("udp://@239.1.1.1:5000", "udp://239.1.1.1:5000"),
    ],
)
def test_secrets_of_a_url_are_not_printed(url, name):
    assert parse_input(url).name == name and parse_input(url).location == url
    assert parse_input(url, "studio 1").name == "studio 1"


def test_hls_over_http_may_read_from_servers_but_no_file(clip, tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "clip.ts").write_bytes(clip.read_bytes())
    playlist(tmp_path / "web" / "good.m3u8", "clip.ts")
    playlist(tmp_path / "web" / "evil.m3u8", clip.as_uri())
    playlist(tmp_path / "web" / "evil2.m3u8", f"concat:{clip}")
    with server(tmp_path / "web") as (url, _):
        assert frames(f"{url}/good.m3u8") > 30
        for evil in ("evil.m3u8", "evil2.m3u8"):
            with pytest.raises(MediaError):
                frames(f"{url}/{evil}")


def test_a_playlist_on_this_machine_may_read_files_but_no_server(clip, tmp_path):
    (tmp_path / "clip.ts").write_bytes(clip.read_bytes())
    playlist(tmp_path / "good.m3u8", "clip.ts")
    assert frames(tmp_path / "good.m3u8") > 30
    with server(tmp_path) as (url, asked):
        playlist(tmp_path / "evil.m3u8", f"{url}/clip.ts")
        with pytest.raises(MediaError):
            frames(tmp_path / "evil.m3u8")
        assert not asked


def test_a_file_that_is_a_script_may_read_nothing(clip, tmp_path):
    (tmp_path / "evil.ts").write_text(f"ffconcat version 1.0\nfile {clip}\n")
    with pytest.raises(MediaError):
        frames(tmp_path / "evil.ts")


def test_errors_are_one_line_that_names_the_input(tmp_path):
    (tmp_path / "text.ts").write_text("this is no video\n" * 1000)
    (tmp_path / "recording.mp4").write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0\0\1\0mdat" + bytes(2000))
    for name, word in (("text.ts", "not a media stream"), ("recording.mp4", "fragmented")):
        with pytest.raises(MediaError, match=f"(?s)^[^\n]*{name}[^\n]*{word}[^\n]*$"):
            frames(tmp_path / name)
    with pytest.raises(MediaError, match="^rtmp://127.0.0.1:1/x: cannot be read [^\n]*$"):
        frames("rtmp://127.0.0.1:1/x")


def test_a_protocol_that_pyav_lacks_is_an_error_with_a_way_out():
    try:
        frames("srt://127.0.0.1:1?connect_timeout=100")
    except UnsupportedInput as error:
        assert "ffmpeg -i URL" in str(error)
    except MediaError:
        pytest.skip("this PyAV has SRT")


# --- growing files and pipes


def test_the_standard_input_is_read_to_its_end(monkeypatch):
    read, write = os.pipe()
    os.write(write, b"abc")
    os.close(write)
    with os.fdopen(read) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with FollowedFile(parse_input("-"), 10.0, Event(), lambda stalls: None) as file:
            assert (file.read(100), file.read(100)) == (b"abc", b"")


def test_a_growing_file_is_read_until_it_stops_growing(tmp_path):
    path, stop = tmp_path / "growing.ts", Event()
    path.write_bytes(b"a" * 10)

    def grow():
        for _ in range(3):
            time.sleep(0.2)
            with open(path, "ab") as file:
                file.write(b"b" * 10)

    Thread(target=grow, daemon=True).start()
    with FollowedFile(parse_input(str(path)), 1.0, stop, lambda stalls: None) as file:
        data = b""
        while more := file.read(8):
            data += more
    assert data == b"a" * 10 + b"b" * 30


@needs_fifo
def test_a_named_pipe_waits_for_its_writer_and_reports_stalls(tmp_path):
    path, stop, stalls = tmp_path / "pipe", Event(), []
    os.mkfifo(path)

    def write():
        time.sleep(0.6)
        with open(path, "wb") as file:
            file.write(b"abc")
            file.flush()
            time.sleep(0.8)
            file.write(b"def")

    thread = Thread(target=write, daemon=True)
    thread.start()
    with FollowedFile(parse_input(str(path)), 0.2, stop, stalls.append) as file:
        assert file.read(100) == b"abc" and stalls == [True, False]
        assert file.read(100) == b"def" and stalls == [True, False] * 2
        assert file.read(100) == b"" and not file.seekable()
    thread.join(10)


@needs_fifo
def test_waiting_for_a_pipe_can_be_stopped(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    stop = Event()
    with FollowedFile(parse_input(str(tmp_path / "pipe")), 60.0, stop, lambda stalls: None) as file:
        Thread(target=lambda: (time.sleep(0.3), stop.set()), daemon=True).start()
        began = time.monotonic()
        assert file.read(100) == b"" and time.monotonic() - began < 30
