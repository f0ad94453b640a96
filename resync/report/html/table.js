// --- Table

/** What is shaded: the first of the limits, or what counts as in sync. */
const zone = report.limits[0] || { name: "in sync", early_ms: report.in_sync_ms, late_ms: report.in_sync_ms };
const worst = (clip) => (clip.delays_ms ? Math.max(...clip.delays_ms.map(Math.abs)) : null);
const mostMs = clips.reduce((most, clip) => Math.max(most, worst(clip)), 4 * Math.max(zone.early_ms, zone.late_ms));
const barReach = Math.min(400, mostMs);

/** title, hint; value: what a column is sorted by; cell: what it shows; className: alignment, and the width from which it shows. */
const columns = [
  { title: "Result", hint: "Those that need attention first", value: (clip) => clip.rank, cell: kindCell },
  { title: "File", value: (clip) => `${clip.folder}/${clip.name}`, cell: fileCell, className: "file" },
  { title: "Delay, ms", hint: "+ late, \u2212 early", value: (clip) => clip.delay_ms, cell: delayCell, className: "right" },
  {
    title: "Early | late",
    hint: `\u2212${number(barReach)} to +${number(barReach)} ms; shaded: ${zone.name}`,
    value: worst,
    cell: barCell,
    className: "second",
  },
  { title: "Frames", value: (clip) => clip.frames, cell: (clip) => signed(clip.frames, 1), className: "right third" },
  {
    title: "\u00b1 ms",
    hint: "Half-width of the 90 % interval",
    value: (clip) => clip.uncertainty_ms,
    cell: (clip) => number(clip.uncertainty_ms),
    className: "right second",
  },
  { title: "Certainty", value: (clip) => clip.certainty, cell: (clip) => number(clip.certainty, 2), className: "right second" },
  {
    title: "Off screen",
    hint: "Share of the speech without a matching mouth",
    value: (clip) => clip.offscreen_ratio,
    cell: (clip) => percent(clip.offscreen_ratio),
    className: "right third",
  },
  {
    title: "Length",
    value: (clip) => clip.duration_s,
    cell: (clip) => (isKnown(clip.duration_s) ? clock(clip.duration_s) : ""),
    className: "right third",
  },
  ...report.limits.map((limits, i) => ({
    title: limits.name,
    hint: `${limits.early_ms} ms early to ${limits.late_ms} ms late; ? = the limit is within the interval`,
    value: (clip) => (clip.limits ? ["fail", "unknown", "pass"].indexOf(clip.limits[i][0]) : null),
    cell: (clip) => limitCell(clip, i),
    className: "second",
  })),
];

function kindCell(clip) {
  return html("span", { class: "kind", "data-kind": clip.kind }, clip.kind);
}

function fileCell(clip) {
  const folder = clip.folder === "." ? "" : `${clip.folder}/`;
  return [
    html(
      "button",
      { type: "button", class: "name", "aria-expanded": "false" },
      html("bdi", {}, html("span", { class: "folder" }, folder), clip.name),
    ),
    clip.note && html("div", { class: "note" }, html("bdi", {}, clip.note)),
    html("div", { class: "by-hand", hidden: true }),
  ];
}

function delayCell(clip) {
  const [low, high] = clip.delays_ms || [];
  return isKnown(clip.delay_ms) ? signed(clip.delay_ms) : clip.delays_ms ? `${signed(low)} \u2026 ${signed(high)}` : "";
}

function barCell(clip) {
  const bar = html("div", { class: "bar" }, html("div", { class: "zone" }), html("div", { class: "zero" }));
  const place = (node, low, high) => {
    const [left, right] = [low, high].map((ms) => 50 + 50 * Math.max(-1, Math.min(1, ms / barReach)));
    node.style.left = `${left}%`;
    node.style.width = `${right - left}%`;
  };
  place(bar.firstChild, -zone.early_ms, zone.late_ms);
  if (!clip.delays_ms) return bar;
  const [low, high] = clip.delays_ms;
  const delay = html("div", { class: "delay", "data-kind": clip.kind });
  place(delay, low === high ? Math.min(0, low) : low, low === high ? Math.max(0, high) : high);
  bar.append(delay);
  return bar;
}

function limitCell(clip, i) {
  if (!clip.limits) return "";
  const [verdict, isBorderline] = clip.limits[i];
  const text = verdict === "unknown" ? "\u2013" : `${verdict}${isBorderline ? " ?" : ""}`;
  return html("span", { class: verdict === "fail" ? "failed-limit" : "muted" }, text);
}

const ROWS = 500; // shown at first, and added by each press of the button below
const view = { column: columns[0], isDescending: false, kinds: new Set(), words: [], rows: ROWS, selected: null, open: null };
const head = document.querySelector("#table > thead > tr");
const body = document.querySelector("#table > tbody");

function rowOf(clip) {
  clip.row ||= html(
    "tr",
    { class: "clip", click: () => (select(clip), toggleClip(clip)) }, // also by the button in it
    columns.map((column) => html("td", { class: column.className }, column.cell(clip))),
  );
  return clip.row;
}

const matching = () =>
  clips.filter((clip) => (!view.kinds.size || view.kinds.has(clip.kind)) && view.words.every((word) => clip.words.includes(word)));

function compare(a, b) {
  const [x, y] = [view.column.value(a), view.column.value(b)];
  if (isKnown(x) !== isKnown(y)) return isKnown(x) ? -1 : 1; // unknown last, in both directions
  const order = isKnown(x) ? (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y) : 0;
  return (view.isDescending ? -order : order) || a.rank - b.rank || worst(b) - worst(a) || a.number - b.number;
}

/** The clips that match, in order. */
function shownClips() {
  return matching().sort(compare);
}

function showTable() {
  const found = shownClips();
  const rows = found.slice(0, view.rows).map(rowOf);
  if (view.open && !found.slice(0, view.rows).includes(view.open)) closeClip();
  body.replaceChildren(...rows);
  if (view.open) view.open.row.after(view.open.details);
  byId("empty").hidden = found.length > 0;
  byId("more").hidden = found.length <= view.rows;
  byId("more").textContent = `Show ${Math.min(ROWS, found.length - view.rows)} more of ${found.length - view.rows}`;
  byId("count").textContent = found.length === clips.length ? "" : `${found.length} of ${clips.length} shown`;
  for (const [i, cell] of [...head.children].entries()) {
    if (columns[i] === view.column) cell.setAttribute("aria-sort", view.isDescending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  }
}

/** Show what was chosen by hand for a clip. command: applies it; empty for nothing. */
function showByHand(clip, command, text) {
  clip.command = command;
  const mark = clip.row.querySelector(".by-hand");
  mark.hidden = !command;
  mark.textContent = `by hand: audio ${text}`;
  const count = clips.filter((other) => other.command).length;
  byId("commands").hidden = !count || !navigator.clipboard;
  byId("commands").textContent = `Copy ${count} command${count === 1 ? "" : "s"}`;
}

function sortBy(column) {
  view.isDescending = view.column === column && !view.isDescending;
  view.column = column;
  showTable();
}

function showKinds() {
  const counted = report.kinds.map((kind) => [kind, clips.filter((clip) => clip.kind === kind).length]).filter(([, count]) => count);
  const choose = (kind) => {
    if (kind === null) view.kinds.clear();
    else if (!view.kinds.delete(kind)) view.kinds.add(kind);
    for (const node of nodes) node.setAttribute("aria-pressed", node.kind === null ? !view.kinds.size : view.kinds.has(node.kind));
    showTable();
  };
  const nodes = [[null, clips.length], ...counted].map(([kind, count]) => {
    const label = kind === null ? "all" : html("span", { class: "kind", "data-kind": kind }, kind);
    const node = button([label, html("span", { class: "number" }, ` ${count}`)], () => choose(kind), {
      "aria-pressed": String(kind === null),
    });
    node.kind = kind;
    return node;
  });
  byId("kinds").replaceChildren(...nodes);
}

function select(clip) {
  if (view.selected) rowOf(view.selected).classList.remove("selected");
  view.selected = clip;
  rowOf(clip).classList.add("selected");
}

/** Select the next clip, or the previous one; where one is open, open it instead. */
function step(by) {
  const found = shownClips();
  const at = found.indexOf(view.selected);
  const next = found[at < 0 ? (by > 0 ? 0 : found.length - 1) : at + by];
  if (!next) return;
  if (found.indexOf(next) >= view.rows) showMore();
  select(next);
  if (view.open) openClip(next);
  else rowOf(next).scrollIntoView({ block: "nearest" });
}

function showMore() {
  view.rows += ROWS;
  showTable();
}

// --- Keys, and the rest of the page

const actions = {
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  Enter: () => view.selected && toggleClip(view.selected),
  Escape: closeClip,
  "/": () => byId("search").focus(),
  "?": () => byId("help").showModal(),
  t: () => byId("theme").click(),
};
const playerActions = {
  " ": ({ player }) => player.toggle(),
  Home: ({ player }) => player.seek(0),
  l: ({ player }) => ((player.isRepeating = !player.isRepeating), player.onupdate()),
  b: ({ shift }) => shift.setAfter(!shift.isAfter),
  0: ({ shift }) => shift.setNudge(0),
  ArrowLeft: ({ shift }, event) => shift.nudge(event.shiftKey ? -1 : -10),
  ArrowRight: ({ shift }, event) => shift.nudge(event.shiftKey ? 1 : 10),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  if (event.target.matches("input:not([type=range])")) {
    if (event.key === "Escape" || event.key === "Enter") event.target.blur();
    return;
  }
  const isPress = event.key === " " || event.key === "Enter";
  if (isPress && event.target.matches("button:focus-visible, summary")) return;
  const act = (view.open?.player && playerActions[event.key]) || actions[event.key];
  if (!act) return;
  event.preventDefault();
  act(view.open, event);
});

byId("search").addEventListener("input", (event) => {
  view.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  view.rows = ROWS;
  showTable();
});
byId("keys").addEventListener("click", () => byId("help").showModal());
byId("commands").addEventListener("click", () => {
  const commands = clips.filter((clip) => clip.command).map((clip) => `${clip.command}\n`);
  navigator.clipboard.writeText(commands.join(""));
});
byId("more").addEventListener("click", showMore);
window.addEventListener("beforeprint", () => {
  view.rows = Infinity;
  showTable();
});

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
}
byId("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  setTheme(theme);
  try {
    localStorage.setItem("resync-theme", theme);
  } catch {
    // not permitted for local files everywhere
  }
});
function storedTheme() {
  try {
    return localStorage.getItem("resync-theme");
  } catch {
    return null;
  }
}

setTheme(storedTheme() || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
byId("about").textContent = [
  `${clips.length} clip${clips.length === 1 ? "" : "s"}`,
  report.created,
  report.limits.map((own) => `limits ${own.name}: ${own.early_ms} ms early to ${own.late_ms} ms late`).join(", "),
  `resync ${report.version}`,
]
  .filter(Boolean)
  .join(" \u00b7 ");
head.replaceChildren(
  ...columns.map((column) =>
    html(
      "th",
      { class: column.className, scope: "col" },
      button(column.title, () => sortBy(column), { title: column.hint }),
    ),
  ),
);
showKinds();
showTable();
