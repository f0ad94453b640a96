"""The command watch on real streams, as a shell sees it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from resync.remux.ffmpeg import ffmpeg_exe


@pytest.fixture
def port():
    """A UDP port that is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture
def send():
    """send(clip, url) sends a clip over and over, three times as fast as it plays."""
    processes = []

    def run(clip, url):
        command = [ffmpeg_exe(), "-v", "error", "-nostdin", "-readrate", "3", "-stream_loop", "-1", "-i", str(clip), "-c", "copy"]
        processes.append(subprocess.Popen([*command, "-f", "mpegts", url], stdin=subprocess.DEVNULL))

    yield run
    for process in processes:
        process.kill()
        process.wait()


def test_a_late_stream_raises_an_alarm(resync, delayed_clip, send, port, tmp_path):
    pytest.importorskip("prometheus_client")
    send(delayed_clip(200), f"udp://127.0.0.1:{port}?pkt_size=1316")
    options = ("--once", "--exhaustive", "--json", "--prometheus", "watch.prom", "--name", "studio 1", "--duration", 300)
    done = resync("watch", f"udp://127.0.0.1:{port}", *options, code=4)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["event"] for row in rows if row["event"] not in ("estimate", "waiting", "lost")] == ["connected", "alarm", "summary"]
    alarm = next(row for row in rows if row["event"] == "alarm")
    assert 160 < alarm["audio_delay_ms"] < 240 and alarm["stream_s"] < 20 and done.stderr == ""
    assert 'resync_alarm{input="studio 1"} 1.0\n' in (tmp_path / "watch.prom").read_text()


def test_a_recording_is_read_to_its_end(invoke, delayed_clip, ffmpeg, tmp_path):
    ffmpeg("-i", delayed_clip(0), "-c", "copy", tmp_path / "clip.ts")
    done = invoke("watch", "clip.ts", "--exhaustive", "--every", 2, "--timeout", 1, code=3)  # five seconds are too short for a decision
    events = [line.split()[2] for line in done.stdout.splitlines()]
    assert done.stderr == "" and events == ["connected", "estimate", "estimate", "ended", "summary"]
    assert "ms late, +-" in done.stdout or "ms early, +-" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_signal_ends_a_watch_with_a_summary(port):
    """Even while it waits for the network, which cannot be interrupted."""
    command = [sys.executable, "-m", "resync", "watch", f"udp://127.0.0.1:{port}", "--json", "--every", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert json.loads(process.stdout.readline())["event"] == "waiting"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and error == "" and json.loads(out)["event"] == "summary"
    assert time.monotonic() - began < 4


def test_bad_input_is_one_line(invoke, tmp_path):
    (tmp_path / "text.ts").write_text("this is no video\n" * 100)
    for source in ("missing.ts", "gopher://host/x", ".", "text.ts"):
        done = invoke("watch", source, "--timeout", 1, code=1)
        assert len(done.stderr.splitlines()) == 1 and source in done.stderr and done.stdout == ""


@pytest.mark.parametrize("option", ["--limits x", "--limits 40", "--every 1", "--window 100", "--duration 0", "--timeout nan"])
def test_usage_errors(invoke, option):
    assert "Error: " in invoke("watch", "udp://127.0.0.1:9", *option.split(), code=2).stderr


def test_metrics_are_not_written_over_something_else(invoke, delayed_clip, ffmpeg, tmp_path):
    pytest.importorskip("prometheus_client")
    ffmpeg("-i", delayed_clip(0), "-c", "copy", "-f", "matroska", tmp_path / "clip.prom")
    for name in ("clip.prom", "watch.txt", "no/such/watch.prom"):
        done = invoke("watch", "udp://127.0.0.1:9", "--duration", 1, "--prometheus", name, code=1)
        assert len(done.stderr.splitlines()) == 1 and name in done.stderr


def test_without_the_package_for_metrics_it_says_what_to_install(invoke, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "resync.live.metrics", raising=False)
    assert (
        "pip install 'resync[prometheus]'" in invoke("watch", "udp://127.0.0.1:9", "--duration", 1, "--prometheus", "x.prom", code=1).stderr
    )
