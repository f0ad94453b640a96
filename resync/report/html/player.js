// --- Shift of the audio: the measured correction, and what is added by hand

class Shift {
  constructor(clip, data) {
    this.clip = clip;
    this.report = data.report;
    const own = data.report;
    this.isChanging = own.verdict === "drift" || own.verdict === "jump";
    this.lines = this.isChanging ? data.lines : [];
    this.constant = own.shift_ms ?? (isKnown(own.best_delay_ms) ? -own.best_delay_ms : 0);
    /** How fast the correction changes, ms per s. */
    this.slope = this.isChanging ? -(own.drift_ms_per_min || 0) / 60 : 0;
    this.isAfter = true;
    this.onchange = () => {};
  }

  /** The measured correction at a time. */
  measured(seconds) {
    const line = this.lines.find(([, end]) => seconds < end) || this.lines.at(-1);
    if (!line) return this.constant;
    const [start, end, from, to] = line;
    return from + ((to - from) * (Math.min(Math.max(seconds, start), end) - start)) / (end - start || 1);
  }

  /** What the controls say for a time. */
  chosen(seconds) {
    return this.measured(seconds) + this.clip.nudge;
  }

  /** What is played at a time. */
  now(seconds) {
    return this.isAfter ? this.chosen(seconds) : 0;
  }

  nudge(ms) {
    this.setNudge(this.clip.nudge + ms);
  }

  setNudge(ms) {
    this.clip.nudge = Math.round(10 * ms) / 10;
    this.isAfter = true;
    this.onchange();
  }

  /** Choose a shift at the time that is shown. */
  set(ms) {
    this.setNudge(ms - this.measured(this.clip.player.time));
  }

  setAfter(isAfter) {
    this.isAfter = isAfter;
    this.onchange();
  }
}

// --- Player

const TICK_MS = 50;
const SAMPLES = 5; // of a difference, whose median counts
const DEAD_ZONE_S = 0.0005; // a difference up to this is left alone
const GAIN = 3; // change of the playback rate for each second of difference
const MAX_CHANGE = 0.1; // of the playback rate
const MAX_FOLLOWED_S = 0.1; // a larger difference is closed by a new start
const MAX_SKIP_S = 0.5; // of video before the first audio
const SETTLE_MS = 250; // after the last change of the shift, before a new start

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const clamp = (value, limit) => Math.max(-limit, Math.min(limit, value));

/** Not by `muted` or a volume of 0: the browser may then drop the audio, and its clock jumps. Where the volume is read-only, by `muted`. */
function setAudible(element, isAudible) {
  element.volume = isAudible ? 1 : 1e-5;
  element.muted = !isAudible && element.volume === 1;
}

/** Resolves when a media element can play from where it is, or never can. */
function ready(element) {
  const isReady = () => element.error || (!element.seeking && element.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA);
  return new Promise((resolve) => {
    const check = () => {
      if (!isReady()) return;
      for (const name of names) element.removeEventListener(name, check);
      resolve();
    };
    const names = ["seeked", "canplay", "error"];
    for (const name of names) element.addEventListener(name, check);
    check();
  });
}

/** The audio of a clip at a shift that may depend on the time: an audio element, and by how much it is ahead of where it should be. */
class Track {
  constructor(src, shiftAt, slope) {
    this.element = html("audio", { preload: "auto", src });
    this.element.preservesPitch = false; // or every change of the rate would make its clock jump
    this.shiftAt = shiftAt;
    this.pace = 1 - slope / 1000; // s of audio for each s of video
    this.samples = [];
  }

  /** The time in the audio that belongs to a time in the video. */
  target(seconds) {
    return seconds - this.shiftAt(seconds) / 1000;
  }

  hasAudio(seconds) {
    return this.target(seconds) >= 0 && !(this.target(seconds) >= this.element.duration);
  }

  place(seconds) {
    this.samples = [];
    this.element.currentTime = Math.max(0, this.target(seconds));
  }

  /** Take a sample; returns the difference in s, null while there are too few samples. */
  measure(seconds) {
    this.samples = [...this.samples, this.element.currentTime - this.target(seconds)].slice(-SAMPLES);
    return this.samples.length < SAMPLES ? null : median(this.samples);
  }
}

/**
 * Plays a clip with its audio as it is and with its audio shifted, of which one is heard. The video element is mute. Two audio elements
 * play the file (or the recording): nothing is done to the one that is heard; the video, and the other one, follow it by small changes of
 * their playback rates. So the switch between them is instant, and the shift is as exact as the clocks of the elements.
 */
class Player {
  constructor(data, shift) {
    const src = data.audio || data.video;
    this.shift = shift;
    this.duration = data.report.duration_s;
    this.video = html("video", { preload: "auto", playsinline: true, src: data.video });
    this.video.preservesPitch = false;
    this.before = new Track(src, () => 0, 0);
    this.after = new Track(src, (seconds) => shift.chosen(seconds), shift.slope);
    this.isPlaying = false;
    this.isRepeating = true;
    this.difference = null; // by how much the audio that is heard is ahead of where it should be, s
    this.starts = 0;
    this.changed = 0;
    this.onupdate = () => {};
    this.video.addEventListener("ended", () => this.ended());
    for (const name of ["seeked", "loadedmetadata"]) this.video.addEventListener(name, () => this.onupdate());
    this.choose();
  }

  get time() {
    return this.video.currentTime;
  }

  get heard() {
    return this.shift.isAfter ? this.after : this.before;
  }

  get tracks() {
    return [this.before, this.after];
  }

  get elements() {
    return [this.video, this.before.element, this.after.element];
  }

  choose() {
    for (const element of this.elements) setAudible(element, element === this.heard.element);
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.play();
  }

  play() {
    this.isPlaying = true;
    this.start(this.video.ended ? 0 : this.time);
    const show = () => {
      this.onupdate();
      if (this.isPlaying) requestAnimationFrame(show);
    };
    requestAnimationFrame(show);
  }

  pause() {
    this.isPlaying = false;
    this.stop();
    this.onupdate();
  }

  seek(seconds) {
    const time = Math.max(0, Math.min(seconds, this.duration));
    if (this.isPlaying) this.start(time);
    else this.video.currentTime = time;
    this.onupdate();
  }

  ended() {
    if (this.isRepeating) this.start(0);
    else this.pause();
  }

  shiftChanged() {
    this.after.samples = [];
    this.changed = performance.now();
    this.choose();
  }

  stop() {
    this.starts += 1;
    this.difference = null;
    clearInterval(this.timer);
    for (const element of this.elements) {
      element.pause();
      element.playbackRate = 1;
    }
  }

  /** Start at a time: all elements at once, when all can play. Where the audio begins soon after, it starts there. */
  async start(given) {
    this.stop();
    const own = this.starts;
    const wait = -this.heard.target(given);
    const seconds = wait > 0 && wait < MAX_SKIP_S ? given + wait + 0.001 : given;
    this.video.currentTime = seconds;
    for (const track of this.tracks) track.place(seconds);
    const playing = [this.video, ...this.tracks.filter((track) => track.hasAudio(seconds)).map((track) => track.element)];
    await Promise.all(playing.map(ready));
    if (own !== this.starts) return; // paused meanwhile, or started anew
    this.timer = setInterval(() => this.follow(), TICK_MS);
    for (const element of playing) element.play().catch((error) => error.name !== "AbortError" && this.failed?.());
  }

  /** Keep the differences between the elements, see the class. Called many times a second while the clip plays. */
  follow() {
    const time = this.time;
    if (this.video.seeking || this.video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA) return;
    const [heard, other] = this.shift.isAfter ? [this.after, this.before] : [this.before, this.after];
    this.difference = this.measure(heard, time);
    if (Math.abs(this.difference) > MAX_FOLLOWED_S && performance.now() - this.changed > SETTLE_MS) {
      this.start(time);
      return;
    }
    const rate = (difference) => (Math.abs(difference) > DEAD_ZONE_S ? clamp(GAIN * difference, MAX_CHANGE) : 0);
    heard.element.playbackRate = 1;
    this.video.playbackRate = 1 / heard.pace + rate(this.difference);
    const difference = this.measure(other, time);
    if (Math.abs(difference) > MAX_FOLLOWED_S) other.place(time);
    else other.element.playbackRate = this.video.playbackRate * other.pace - rate(difference);
  }

  /** The difference of a track, null where it is not known: before its first and after its last sample it is paused. */
  measure(track, time) {
    const { element } = track;
    if (!track.hasAudio(time)) {
      element.pause();
      track.samples = [];
      return null;
    }
    if (element.paused) {
      track.place(time);
      element.play().catch(() => {});
    }
    return element.seeking || element.readyState < HTMLMediaElement.HAVE_FUTURE_DATA ? null : track.measure(time);
  }

  close() {
    this.pause();
    for (const element of this.elements) {
      element.removeAttribute("src");
      element.load();
    }
  }
}
