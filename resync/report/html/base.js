"use strict";
// The page of an HTML report, in several files that become one script: data, numbers, elements. No libraries, no network.
// Times are in s and shifts in ms, as in the JSON of the reports. A shift > 0 plays the audio later.

// --- Data: the table at once, a clip when it is opened

const byId = (id) => document.getElementById(id);
const report = JSON.parse(byId("report").textContent);
const clips = report.clips.map((clip, number) => ({ ...clip, number, nudge: 0, rank: report.kinds.indexOf(clip.kind) }));
for (const clip of clips) clip.words = `${clip.folder}/${clip.name} ${clip.kind} ${clip.note}`.toLowerCase();

const dataOf = (clip) => JSON.parse(byId(`clip-${clip.number}`).textContent);

// --- Numbers as text

const isKnown = (value) => value !== null && value !== undefined;
const number = (value, digits = 0) => (isKnown(value) ? value.toFixed(digits).replace("-", "\u2212") : "");
const signed = (value, digits = 0) => {
  if (!isKnown(value)) return "";
  const text = number(value, digits);
  return Number(value.toFixed(digits)) > 0 ? `+${text}` : text.replace(/^\u2212(0(\.0+)?)$/, "$1");
};
const percent = (share) => (isKnown(share) ? `${Math.round(100 * share)} %` : "");

/** A time as [hours:]minutes:seconds. */
function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const units = Math.round(seconds * scale);
  const minutes = Math.floor(units / (60 * scale));
  const rest = ((units % (60 * scale)) / scale).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

function delayText(ms) {
  if (!isKnown(ms)) return "";
  return Math.round(ms) === 0 ? "0 ms" : `${Math.abs(ms).toFixed(0)} ms ${ms > 0 ? "late" : "early"}`;
}

function shiftText(ms) {
  return Math.round(ms) === 0 ? "not shifted" : `${Math.abs(ms).toFixed(0)} ms ${ms > 0 ? "later" : "earlier"}`;
}

// --- Elements: text only ever becomes text nodes and attributes, never markup

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (isKnown(value) && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => isKnown(child) && child !== false));
  return node;
}
const html = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const button = (text, click, attributes) => html("button", { type: "button", click, ...attributes }, text);
