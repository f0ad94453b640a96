// --- Charts

/** Round numbers between two values, about `count` of them. */
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= raw);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

const line = (x1, y1, x2, y2, className) => svg("line", { x1, y1, x2, y2, class: className });
const label = (x, y, text, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, text);

function chart(width, height, ...children) {
  return svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img" }, ...children);
}

/** Call `choose` with the x of every press on a chart, in the units of its viewBox. */
function onPress(node, choose) {
  node.addEventListener("click", (event) => {
    const box = node.getBoundingClientRect();
    choose(((event.clientX - box.left) / box.width) * node.viewBox.baseVal.width);
  });
}

/** P(in sync) over the shift. mark(ms): where the player is. choose(ms): called with the shift that is pressed. */
function curveChart(data, width, choose) {
  const own = data.report;
  const [left, right, top, bottom] = [8, width - 8, 18, 150]; // the margins of the slider below
  const reach = own.range_ms;
  const x = (ms) => left + ((ms + reach) / (2 * reach)) * (right - left);
  const y = (p) => bottom - p * (bottom - top);
  const points = (own.curve.shift_ms || []).map((ms, i) => `${x(ms).toFixed(1)},${y(own.curve.probability[i]).toFixed(1)}`);
  const now = line(0, top, 0, bottom, "now");
  const node = chart(
    width,
    bottom + 22,
    svg("rect", { class: "zone", x: x(-zone.late_ms), y: top, width: x(zone.early_ms) - x(-zone.late_ms), height: bottom - top }),
    [0, 0.5, 1].map((p) => [line(left, y(p), right, y(p), "axis"), p > 0 && label(left + 2, y(p) - 3, p.toFixed(1), "start")]),
    ticks(-reach, reach, width / 90).map((ms) => label(x(ms), bottom + 16, `${signed(ms)}${ms === 0 ? " ms" : ""}`)),
    points.length > 1 && svg("polygon", { class: "area", points: `${x(-reach)},${bottom} ${points.join(" ")} ${x(reach)},${bottom}` }),
    points.length > 1 && svg("polyline", { class: "curve", points: points.join(" ") }),
    line(x(0), top, x(0), bottom, "zero"),
    curveMarks(data, x, y, top, bottom),
    now,
  );
  node.setAttribute("aria-label", "Probability in sync over the audio shift");
  onPress(node, (at) => choose(Math.round(Math.max(-reach, Math.min(reach, ((at - left) / (right - left)) * 2 * reach - reach)))));
  const mark = (ms) => now.setAttribute("transform", `translate(${x(Math.max(-reach, Math.min(reach, ms))).toFixed(1)})`);
  return { node, mark };
}

/** The result on the curve: its interval and its peak, the peak of each piece, or the range of a drift; and the second peak. */
function curveMarks(data, x, y, top, bottom) {
  const own = data.report;
  const height = (ms) => own.curve.probability?.[own.curve.shift_ms.findIndex((value) => value >= ms)] ?? 0;
  const band = (low, high) => svg("rect", { class: "range", x: x(low), y: top, width: x(high) - x(low), height: bottom - top });
  const peak = (ms) => svg("path", { class: "peak", d: `M${x(ms)} ${y(height(ms)) - 3}l-5 -9h10z` });
  const second = secondPeak(data);
  const marks = [];
  if (isKnown(own.audio_delay_ms)) {
    const half = own.uncertainty_ms || 0;
    marks.push(band(-own.audio_delay_ms - half, -own.audio_delay_ms + half), peak(-own.audio_delay_ms));
  } else if (own.verdict === "drift") {
    for (const [, , from, to] of data.lines) marks.push(band(Math.min(from, to), Math.max(from, to)));
  } else {
    for (const piece of own.pieces) marks.push(peak(-piece.audio_delay_ms));
  }
  if (second) {
    marks.push(
      svg("circle", { class: "second", cx: x(second.shift_ms), cy: y(second.probability), r: 4 }, svg("title", {}, "second peak")),
    );
  }
  return marks;
}

/** The second peak of a single delay, or of none; one that changes has as many as it takes values. */
function secondPeak(data) {
  return ["drift", "jump"].includes(data.report.verdict) ? null : data.details?.runner_up;
}

function curveCaption(data) {
  const own = data.report;
  const result = isKnown(own.audio_delay_ms)
    ? "red: the measured shift and its 90 % interval"
    : own.verdict === "drift"
      ? "red: the range of the drift"
      : own.pieces.length && "red: the shift of each piece";
  const marks = [
    result,
    secondPeak(data) && "dot: the second peak",
    `green: ${report.limits.length ? `within ${zone.name}` : "counts as in sync"}`,
    "line: what the player plays",
  ];
  return html(
    "figcaption",
    {},
    `${marks
      .filter(Boolean)
      .join("; ")
      .replace(/^./, (letter) => letter.toUpperCase())}.`,
  );
}

/** Positions on a time axis on which what was not analysed is drawn shorter. */
function timeAxis(data, left, right) {
  const [times, positions] = data.details?.time_axis || [
    [0, data.report.duration_s],
    [0, data.report.duration_s],
  ];
  const length = positions.at(-1) || 1;
  const interpolate = (value, from, to) => {
    const i = Math.max(
      1,
      Math.min(
        from.length - 1,
        from.findIndex((knot) => knot >= value),
      ),
    );
    const [a, b] = value > from.at(-1) ? [from.length - 2, from.length - 1] : [i - 1, i];
    return to[a] + ((to[b] - to[a]) * (value - from[a])) / (from[b] - from[a] || 1);
  };
  return {
    x: (seconds) => left + (interpolate(seconds, times, positions) / length) * (right - left),
    time: (x) => Math.max(0, Math.min(data.report.duration_s, interpolate(((x - left) / (right - left)) * length, positions, times))),
    times,
  };
}

/** Times to label: round ones in what was analysed, and the starts of what follows a gap, as far as they fit. */
function timeTicks(axis, gaps, duration_s, left, right) {
  const starts = [0, ...gaps.map(([, end]) => end)].filter((seconds) => seconds < duration_s - 0.5);
  const scale = (right - left) / (gaps.length ? Math.max(1, duration_s - gaps.reduce((sum, [a, b]) => sum + b - a, 0)) : duration_s);
  const step = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600].find((value) => value * scale > 70) || 7200;
  const inGap = (seconds) => gaps.some(([start, end]) => seconds > start && seconds < end);
  const round = [];
  for (const [i, start] of starts.entries()) {
    const end = starts[i + 1] ?? duration_s;
    for (let seconds = Math.ceil(start / step) * step; seconds < end && round.length < 400; seconds += step)
      if (!inGap(seconds)) round.push(seconds);
  }
  const chosen = [];
  const add = (seconds) => {
    if (chosen.every((other) => Math.abs(axis.x(other) - axis.x(seconds)) > 44)) chosen.push(seconds);
  };
  starts.filter((seconds) => !inGap(seconds)).forEach(add);
  round.forEach(add);
  return chosen;
}

/** The heat map with the result on it, and below who speaks when. mark(s): where the player is. choose(s): called with a pressed time. */
function timelineChart(data, width, choose) {
  const own = data.report;
  const details = data.details;
  const gutter = Math.min(112, 24 + 7 * Math.max(10, ...data.faces.map((face) => face.name.length)));
  const [left, right, top] = [gutter, width - 8, 6];
  const axis = timeAxis(data, left, right);
  const rows = activityRows(data);
  const mapHeight = details?.heat_map ? 150 : 0;
  const rowsTop = top + mapHeight + (mapHeight ? 8 : 0);
  const bottom = rowsTop + 18 * rows.length;
  const bars = (spans, y, className) =>
    spans.map(([start, end]) =>
      svg("rect", { class: className, x: axis.x(start), y, width: Math.max(1, axis.x(end) - axis.x(start)), height: 12 }),
    );
  const gaps = (details?.gaps || []).map(([start, end]) => hatched(axis.x(start), top, axis.x(end) - axis.x(start), bottom - top));
  const now = line(0, top, 0, bottom, "now");
  const node = chart(
    width,
    bottom + 22,
    hatching(),
    mapHeight && heatMap(data, axis, left, right, top, mapHeight),
    rows.map(([name, spansOf], i) => [
      label(left - 8, rowsTop + 18 * i + 11, name, "end"),
      spansOf.map(([className, spans]) => bars(spans, rowsTop + 18 * i + 1, className)),
    ]),
    gaps,
    svg("rect", { class: "frame", x: left, y: top, width: right - left, height: bottom - top }),
    timeTicks(axis, details?.gaps || [], own.duration_s, left, right).map((seconds) =>
      label(axis.x(seconds), bottom + 16, clock(seconds, Number.isInteger(seconds) ? 0 : 1)),
    ),
    now,
  );
  node.setAttribute("aria-label", "Probability in sync over time and audio shift, and who speaks when");
  onPress(node, (at) => at >= left && choose(axis.time(at)));
  return { node, mark: (seconds) => now.setAttribute("transform", `translate(${axis.x(seconds).toFixed(1)})`) };
}

/** [name, [[class, spans], ...]] of each row: speech, the faces, off-screen speech. */
function activityRows(data) {
  const faces = data.faces.map((face) => [
    face.name,
    [
      ["visible", face.visible],
      ["speaking", face.speaking],
    ],
  ]);
  if (!data.details) return faces;
  return [["speech", [["speech", data.details.speech]]], ...faces, ["off screen", [["away", data.details.off_screen]]]];
}

function heatMap(data, axis, left, right, top, height) {
  const { image, low_ms, high_ms } = data.details.heat_map;
  const y = (ms) => top + height - ((ms - low_ms) / (high_ms - low_ms)) * height;
  const isInside = (ms) => ms >= low_ms && ms <= high_ms;
  const changes = data.report.jumps.map((jump) => line(axis.x(jump.at_s), top, axis.x(jump.at_s), top + height, "result"));
  const bends = (start, end) => [start, ...axis.times.filter((time) => time > start && time < end), end];
  const paths = data.lines.map(([start, end, from, to]) =>
    bends(start, end)
      .map((time) => `${axis.x(time)},${y(from + ((to - from) * (time - start)) / (end - start || 1))}`)
      .join(" "),
  );
  const dots = data.report.segments.filter((segment) => isKnown(segment.audio_delay_ms) && isInside(-segment.audio_delay_ms));
  return svg(
    "g",
    {},
    svg("rect", { class: "unknown", x: left, y: top, width: right - left, height }),
    svg("image", { href: image, x: left, y: top, width: right - left, height, preserveAspectRatio: "none" }),
    ticks(low_ms, high_ms, 4).map((ms) => [label(left - 8, y(ms) + 4, signed(ms), "end"), line(left - 4, y(ms), left, y(ms), "axis")]),
    changes,
    paths.map((points) => ["casing", "result"].map((name) => svg("polyline", { class: `${name} dashed`, points }))),
    data.report.segments.length > 1 &&
      dots.map((segment) =>
        svg("circle", { class: "own", cx: axis.x((segment.start_s + segment.end_s) / 2), cy: y(-segment.audio_delay_ms), r: 3.5 }),
      ),
  );
}

function hatching() {
  return svg(
    "defs",
    {},
    svg(
      "pattern",
      { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { class: "gap", width: 6, height: 6 }),
      line(0, 0, 0, 6, "hatch"),
    ),
  );
}

const hatched = (x, y, width, height) => svg("rect", { x, y, width, height, fill: "url(#hatch)" });

function timelineCaption(data) {
  if (!data.details) return html("figcaption", {}, "Neither heat map nor mouth crops: this result came from the cache of --skip-done.");
  const marks = [
    "Brightness: P(in sync), 1 s mean, over time and audio shift in ms",
    data.lines.length && "dashed: chosen shift",
    data.report.jumps.length && "vertical: jumps",
    data.report.segments.length > 1 && "dots: segments",
    data.details.gaps.length && "hatched: not analysed",
    data.faces.length && "green: a face is visible (pale), speaks (strong)",
  ];
  return html("figcaption", {}, `${marks.filter(Boolean).join("; ")}.`);
}
