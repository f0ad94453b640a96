"""The HTML report in a browser, headless Chromium; skipped where it or its driver is not installed."""

import base64
import io
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from helpers import DRIFT, LATE, UNDECIDED, ffmpeg
from PIL import Image

from resync.report.html.details import evidence_details
from resync.report.html.page import html_report
from resync.report.limits import STANDARDS, judge
from resync.report.result import Outcome

webdriver = pytest.importorskip("selenium.webdriver")
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium, or no chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --mute-audio --window-size=1280,900"
)
HOSTILE = "<img src=x onerror=\"document.title='owned'\">\n</script>.webm"
CLIP_S = 4.0


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory, late):
    """A report about a playable clip 120 ms late, an undecided one, one that drifts, one that failed and one with a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "clips").mkdir()
    source = ["-f", "lavfi", "-i", f"testsrc2=s=160x120:r=25:d={CLIP_S}", "-f", "lavfi", "-i", f"sine=d={CLIP_S}"]
    ffmpeg(*source, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", 8, "-c:a", "libopus", folder / "clips" / "late.webm")
    playable = replace(LATE, file=str(folder / "clips" / "late.webm"), duration_s=CLIP_S, curve=late.report.curve)
    outcomes = [
        Outcome(UNDECIDED.file, UNDECIDED),
        Outcome("drift.mp4", replace(DRIFT, file="drift.mp4", drift_ms_per_min=-900.0)),
        Outcome("broken.mp4", error="broken.mp4: not a media file"),
        Outcome(HOSTILE, replace(LATE, file=HOSTILE, verdict="in_sync", audio_delay_ms=0.0, shift_ms=0.0)),
        Outcome(playable.file, playable),
    ]
    details = evidence_details(late)
    with html_report(folder / "report.html", [], [STANDARDS["r37"]]) as add:
        for outcome in outcomes:
            add(replace(outcome, limits=judge(outcome.report, [STANDARDS["r37"]]), details=details))
    return folder / "report.html"


@pytest.fixture
def page(browser, report):
    """The report, just opened; at the end, the browser has nothing to complain about."""
    browser.get(report.as_uri())
    browser.get_log("browser")
    yield browser
    assert not [entry for entry in browser.get_log("browser") if "ERR_FILE_NOT_FOUND" not in entry["message"]]


def press(page, *keys):
    webdriver.ActionChains(page, duration=0).send_keys(*keys).perform()


def rows(page):
    return page.execute_script("return [...document.querySelectorAll('tr.clip .kind:first-child')].map(node => node.textContent)")


def test_the_table_is_sorted_searched_and_filtered(page):
    assert rows(page) == ["beyond limits", "beyond limits", "undecided", "failed", "in sync"]
    press(page, "/", "NOT  media")
    assert rows(page) == ["failed"]
    page.execute_script("document.getElementById('search').value = ''; document.getElementById('search').dispatchEvent(new Event('input'))")
    press(page, Keys.ESCAPE)
    page.find_element("css selector", "#kinds [data-kind=undecided]").click()
    assert rows(page) == ["undecided"]
    page.find_element("css selector", "#kinds button").click()
    page.find_element("xpath", "//th//button[text()='Length']").click()
    assert rows(page)[-1] == "failed" and len(rows(page)) == 5
    assert page.execute_script("return document.querySelector('[aria-sort]').textContent") == "Length"


def test_keys(page):
    opened = "return view.open && view.open.kind"
    press(page, "j", "j", "k", Keys.ENTER)
    assert page.execute_script(opened) == "beyond limits"
    press(page, "j", "j")
    assert page.execute_script(opened) == "undecided"
    press(page, "k")
    field = page.find_element("css selector", "tr.details input[type=number]")
    start = float(field.get_property("value"))
    press(page, Keys.ARROW_LEFT)
    webdriver.ActionChains(page, duration=0).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT * 2).key_up(Keys.SHIFT).perform()
    assert float(field.get_property("value")) == start - 10 + 2
    assert "--ms" in page.find_element("css selector", "tr.details code").text
    press(page, "0", "b")
    assert float(field.get_property("value")) == start and page.execute_script("return view.open.shift.now(0)") == 0
    press(page, Keys.ESCAPE, "?")
    assert page.execute_script(opened) is None and page.find_element("id", "help").is_displayed()
    press(page, Keys.ESCAPE)
    assert not page.find_element("id", "help").is_displayed()


def test_an_opened_clip_shows_its_evidence(page):
    page.execute_script("openClip(clips.find(clip => clip.name === 'late.webm'))")
    wait(page, "return document.querySelectorAll('tr.details svg').length === 2")
    text = page.find_element("css selector", "tr.details").text
    assert all(word in text for word in ("audio is 120 ms late", "r37", "confidence", "Segments (2)", "Faces (1)"))
    assert page.find_element("css selector", "tr.details svg image").get_attribute("href").startswith("data:image/png;")
    assert page.execute_script("return document.querySelectorAll('.strip').length") == 3
    assert page.execute_script("return document.querySelector('.curve').points.length") > 100


def test_hostile_names_are_text(page):
    press(page, "j", "j", "j", "j", "j", Keys.ENTER)
    assert page.title == "A/V sync report" and not page.find_elements("css selector", "main img")
    shown = page.find_element("css selector", "tr.open .name").text
    assert shown == HOSTILE.replace("\n", "\N{REPLACEMENT CHARACTER}")
    assert page.find_element("css selector", "tr.details .command").is_displayed() is False


def test_nothing_is_loaded_but_the_media(page):
    page.execute_script("openClip(clips.find(clip => clip.name === 'late.webm'))")
    blocked = page.execute_async_script(
        "const done = arguments[0]; document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));"
        "const image = new Image(); image.src = 'https://example.org/x.png'; setTimeout(() => done(null), 5000)"
    )
    assert blocked == "img-src"
    names = page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(name.endswith(".webm") or name == "https://example.org/x.png" for name in names)
    page.get_log("browser")  # of the image


def test_light_and_dark(page):
    colour = "return getComputedStyle(document.body).backgroundColor"
    brightness = {}
    for scheme in ("light", "dark"):
        page.execute_script("localStorage.clear()")
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        page.refresh()
        brightness[scheme] = sum(map(int, page.execute_script(colour)[4:-1].split(",")))
    assert brightness["dark"] < 150 < 600 < brightness["light"]
    press(page, "t")
    assert sum(map(int, page.execute_script(colour)[4:-1].split(","))) == brightness["light"]
    page.refresh()
    assert sum(map(int, page.execute_script(colour)[4:-1].split(","))) == brightness["light"]


def test_print_shows_the_evidence_and_no_controls(page):
    page.execute_script("openClip(clips.find(clip => clip.name === 'late.webm'))")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        shown = {name: page.find_element("css selector", name).is_displayed() for name in (".bar", "svg", ".player", ".filters", ".shift")}
        assert shown == {".bar": True, "svg": True, ".player": False, ".filters": False, ".shift": False}
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_narrow_window_needs_no_scrolling_sideways(page):
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False})
    try:
        page.execute_script("openClip(clips.find(clip => clip.name === 'late.webm'))")
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        shot = Image.open(io.BytesIO(base64.b64decode(page.get_screenshot_as_base64())))
        assert shot.width == 390 and np.array(shot).std() > 5
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_player_keeps_the_shift(page):
    """Measured between the clocks of the elements; what is heard follows them, see docs/html-report.md."""
    page.execute_script("openClip(clips.find(clip => clip.name === 'late.webm'))")
    press(page, " ")
    for shift_ms, key in ((-120, Keys.ARROW_RIGHT * 4), (-80, "b"), (0, " ")):
        difference = "const p = view.open.player; return 1000 * (p.heard.element.currentTime - p.video.currentTime)"
        wait(page, "const p = view.open.player; return p.difference !== null && Math.abs(p.difference) < 0.004", seconds=20)
        samples = []
        for _ in range(5):
            samples.append(page.execute_script(difference))
            time.sleep(0.05)
        assert np.median(samples) == pytest.approx(-shift_ms, abs=8)
        press(page, key)
    assert page.execute_script("return view.open.player.elements.every(element => element.paused)")


def test_300_clips_open_in_less_than_two_seconds(browser, tmp_path, late):
    details = evidence_details(late)
    with html_report(tmp_path / "many.html", []) as add:
        for number in range(300):
            file = f"clips/{number:03d}.mp4"
            report = replace(LATE, file=file, audio_delay_ms=float(number - 150), curve=late.report.curve)
            add(Outcome(file, report, details=details))
    browser.get((tmp_path / "many.html").as_uri())
    assert browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd") < 2000
    assert len(rows(browser)) == 300


def wait(page, condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not page.execute_script(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.05)
