// --- Opened clip

const toggleClip = (clip) => (view.open === clip ? closeClip() : openClip(clip));

function closeClip() {
  if (!view.open) return;
  view.open.close();
  view.open.details.remove();
  markOpen(view.open, false);
  view.open = null;
}

function markOpen(clip, isOpen) {
  clip.row.classList.toggle("open", isOpen);
  clip.row.querySelector(".name").setAttribute("aria-expanded", isOpen);
}

function openClip(clip) {
  closeClip();
  const content = html("div", { class: "opened" });
  clip.details = html("tr", { class: "details" }, html("td", { colspan: columns.length }, content));
  markOpen(clip, true);
  clip.row.after(clip.details);
  view.open = clip;
  clip.close = showClip(clip, content);
  clip.row.scrollIntoView({ block: "start" });
}

/** Build what an opened clip shows; returns what is to be called when it is closed. */
function showClip(clip, content) {
  const data = dataOf(clip);
  if (!data.video) {
    content.append(html("p", { class: "wide problem" }, data.report.error));
    return () => {};
  }
  const shift = new Shift(clip, data);
  const player = new Player(data, shift);
  const controls = shiftControls(clip, data, shift, player);
  const curve = html("figure");
  const timeline = html("figure", { class: "wide" });
  fill(content, {}, [
    playerView(data, player, shift),
    html("section", {}, html("h2", {}, data.headline), textList(data.texts), curve, controls.node),
    timeline,
    mouthsView(data, player),
    listsView(data),
  ]);
  const charts = {};
  const draw = () => {
    charts.curve = curveChart(data, curve.clientWidth, (ms) => shift.set(ms));
    charts.timeline = timelineChart(data, timeline.clientWidth, (seconds) => player.seek(seconds));
    curve.replaceChildren(html("h3", {}, "Probability in sync over the audio shift"), charts.curve.node, curveCaption(data));
    timeline.replaceChildren(html("h3", {}, "Over time"), charts.timeline.node, timelineCaption(data));
    update();
  };
  const update = () => {
    charts.curve?.mark(shift.now(player.time));
    charts.timeline?.mark(player.time);
    controls.update();
    player.show();
  };
  shift.onchange = () => (player.shiftChanged(), update());
  player.onupdate = update;
  let width = 0;
  const observer = new ResizeObserver(() => {
    if (content.clientWidth !== width && content.clientWidth) draw();
    width = content.clientWidth;
  });
  observer.observe(content);
  Object.assign(clip, { player, shift });
  return () => {
    observer.disconnect();
    player.close();
  };
}

function textList(texts) {
  return html(
    "dl",
    { class: "texts" },
    texts.map(([label, lines]) => [
      html("dt", {}, label),
      html(
        "dd",
        {},
        lines.map((line) => html("div", {}, line)),
      ),
    ]),
  );
}

function mouthsView(data, player) {
  const mouths = data.details?.mouths;
  if (!mouths) return null;
  return html(
    "section",
    { class: "wide" },
    html("h3", {}, "Mouth crops with the strongest evidence"),
    html(
      "div",
      { class: "mouths" },
      mouths.windows.map(({ time_s, probability }, i) => {
        const strip = html("div", { class: "strip", role: "img", "aria-label": "five mouth crops" });
        strip.style.backgroundImage = `url("${mouths.image}")`;
        strip.style.backgroundPosition = `0 ${mouths.windows.length > 1 ? (100 * i) / (mouths.windows.length - 1) : 0}%`;
        const caption = html("figcaption", {}, `at ${clock(time_s, 2)}, P(in sync) ${number(probability, 2)}`);
        return html(
          "figure",
          {},
          button(strip, () => player.seek(Math.max(0, time_s - 1)), { title: "Go to a second before" }),
          caption,
        );
      }),
    ),
  );
}

function listsView(data) {
  const own = data.report;
  const at = (row, name) => row[`${name}_timecode`] || clock(row[`${name}_s`]);
  const span = (row) => `${at(row, "start")} \u2013 ${at(row, "end")}`;
  return html(
    "section",
    { class: "wide lists" },
    list("Pieces", own.pieces, {
      time: span,
      delay: (row) => delayText(row.audio_delay_ms),
      "\u00b1 ms": (row) => number(row.uncertainty_ms),
      certainty: (row) => number(row.certainty, 2),
    }),
    list("Jumps", own.jumps, {
      at: (row) => at(row, "at"),
      between: (row) => `${at(row, "earliest")} \u2013 ${at(row, "latest")}`,
      "change, ms": (row) => signed(row.size_ms),
    }),
    list("Segments", own.segments, {
      time: span,
      delay: (row) => delayText(row.audio_delay_ms),
      "P(in sync)": (row) => number(row.probability, 2),
    }),
    list("Faces", own.faces, {
      time: span,
      "own delay": (row) => delayText(row.audio_delay_ms),
      "P(in sync)": (row) => number(row.probability, 2),
      "share of speech": (row) => percent(row.speech_share),
    }),
    list("Audio tracks", own.tracks, {
      track: (row) => row.audio_track,
      verdict: (row) => row.verdict.replaceAll("_", " "),
      delay: (row) => delayText(row.audio_delay_ms),
      "\u00b1 ms": (row) => number(row.uncertainty_ms),
      certainty: (row) => number(row.certainty, 2),
    }),
  );
}

/** A table of some rows. cells: a function for each column, by its title. */
function list(title, rows, cells) {
  if (!rows.length) return null;
  return html(
    "details",
    { class: "list", open: rows.length <= 12 },
    html("summary", {}, `${title} (${rows.length})`),
    html(
      "table",
      {},
      html(
        "thead",
        {},
        html(
          "tr",
          {},
          Object.keys(cells).map((name) => html("th", {}, name)),
        ),
      ),
      html(
        "tbody",
        {},
        rows.map((row) =>
          html(
            "tr",
            {},
            Object.values(cells).map((cell) => html("td", {}, cell(row))),
          ),
        ),
      ),
    ),
  );
}

// --- Controls of the player and of the shift

function playerView(data, player, shift) {
  const state = html("div", { class: "label" });
  const problem = html("p", { class: "problem", hidden: true });
  const play = button("Play", () => player.toggle(), { title: "Space" });
  const place = html("input", {
    type: "range",
    min: 0,
    max: player.duration,
    step: 0.01,
    "aria-label": "Time",
    input: (event) => player.seek(Number(event.target.value)),
  });
  const time = html("span", { class: "time" });
  const repeat = button("Repeat", () => ((player.isRepeating = !player.isRepeating), player.onupdate()), { title: "Repeat the clip (l)" });
  player.failed = () => {
    const file = player.elements.find((element) => element.error) || player.video;
    problem.textContent =
      `This browser cannot play ${decodeURIComponent(file.getAttribute("src")).split("/").at(-1)}: it is missing, or its ` +
      "format is not supported. `resync preview` writes a clip that plays everywhere.";
    problem.hidden = false;
  };
  for (const element of player.elements) element.addEventListener("error", player.failed);
  player.video.addEventListener("click", () => player.toggle());
  const node = html(
    "section",
    { class: "player" },
    html("div", { class: "screen" }, player.video, state),
    html("div", { class: "transport" }, play, place, time, repeat),
    problem,
    data.report.audio_track > 1 &&
      !data.audio &&
      html("p", { class: "muted" }, `Audio track ${data.report.audio_track} was analysed; a browser plays the first one.`),
  );
  player.show = () => {
    play.textContent = player.isPlaying ? "Pause" : "Play";
    place.value = player.time;
    time.textContent = `${clock(player.time)} / ${clock(player.duration)}`;
    repeat.setAttribute("aria-pressed", player.isRepeating);
    state.textContent = shift.isAfter ? `After: audio ${shiftText(shift.now(player.time))}` : "Before";
  };
  return node;
}

function shiftControls(clip, data, shift, player) {
  const reach = data.report.range_ms;
  const choose = (event) => event.target.value !== "" && shift.set(Number(event.target.value));
  const slider = html("input", {
    type: "range",
    class: "slider",
    min: -reach,
    max: reach,
    step: 1,
    input: choose,
    "aria-label": "Audio shift in ms",
  });
  const field = html("input", { type: "number", step: "any", change: choose, "aria-label": "Audio shift in ms" });
  const before = button("Before", () => shift.setAfter(false), { title: "As the file is (b)" });
  const after = button("After", () => shift.setAfter(true), { title: "With the audio shifted (b)" });
  const reset = button("Reset", () => shift.setNudge(0), { title: "Back to the measured correction (0)" });
  const nudges = [-10, -1, 1, 10].map((ms) => button(signed(ms), () => shift.nudge(ms), { title: `${shiftText(ms)}` }));
  const words = html("span", { class: "muted" });
  const code = html("code");
  const copy = button("Copy", () => navigator.clipboard.writeText(code.textContent));
  const command = html("div", { class: "command" }, code, navigator.clipboard && copy);
  const update = () => {
    const ms = shift.chosen(player.time);
    slider.value = ms;
    if (document.activeElement !== field) field.value = Number(ms.toFixed(1));
    before.setAttribute("aria-pressed", !shift.isAfter);
    after.setAttribute("aria-pressed", shift.isAfter);
    reset.disabled = clip.nudge === 0;
    words.textContent = shiftWords(data.report, shift, clip.nudge);
    code.textContent = commandFor(data.report, shift, clip.nudge);
    command.hidden = !code.textContent;
    showByHand(clip, clip.nudge && code.textContent, shiftText(ms));
  };
  const controls = html(
    "div",
    { class: "shift" },
    html("span", { class: "pair" }, before, after),
    html("label", {}, field, "ms"),
    html("span", { class: "nudges" }, nudges),
    reset,
    words,
  );
  return { node: html("div", {}, slider, controls, command), update };
}

/** Where the chosen shift comes from, in words. */
function shiftWords(own, shift, nudge) {
  const source = shift.isChanging
    ? "measured, changes over time"
    : own.verdict === "in_sync"
      ? "in sync: no correction needed"
      : own.verdict === "undecided"
        ? isKnown(own.best_delay_ms)
          ? "best guess, not certain"
          : "nothing measured"
        : "measured correction";
  return nudge ? `${source}, ${signed(nudge, Number.isInteger(nudge) ? 0 : 1)} ms by hand` : source;
}

/** The command that applies the chosen shift, for a POSIX shell; empty where there is nothing to apply, or a name that cannot be typed. */
function commandFor(own, shift, nudge) {
  if (/\p{C}/u.test(own.file + (own.audio || ""))) return "";
  const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const file = own.file.startsWith("-") ? `./${own.file}` : own.file;
  const [, stem, suffix] = file.match(/^([^]*?)(\.[^./\\]*)?$/);
  const names = `${quote(file)} ${quote(`${stem}.resync${suffix || ""}`)}`;
  if (nudge && !shift.isChanging && !own.audio && shift.chosen(0))
    return `resync shift ${names} --ms ${Number(shift.chosen(0).toFixed(1))}`;
  const options = [
    own.audio && `--audio ${quote(own.audio)}`,
    own.audio_track > 1 && `--audio-track ${own.audio_track}`,
    own.verdict === "jump" && "--fix-jumps",
    shift.slope && "--fix-drift",
  ].filter(Boolean);
  const isUseful = !nudge && (own.verdict === "out_of_sync" || shift.isChanging);
  return isUseful ? ["resync fix", names, ...options].join(" ") : "";
}
