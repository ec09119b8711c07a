// Boxes over the page: keys, class search, comment, people. The browser's own dialogs keep the focus and close on Escape.

import { byId, counted, make, percent } from "./dom.js";
import { COMMANDS, keyOf } from "./keys.js";

const SHOWN = 50;

// What is done once a box is closed; the browser tells late, when the box may be open again for something else.
function whenClosed(box, tell) {
  box.onclose = () => {
    if (!box.open) tell();
  };
}

export const isOpen = () => document.querySelector("dialog[open]") !== null;

export function help() {
  byId("keys").replaceChildren(...COMMANDS.flatMap(([key, words]) => [make("dt", { text: key }), make("dd", { text: words })]));
  byId("help-box").showModal();
}

// Ask for a class by a part of its name; resolves to its index, or to undefined where none was chosen.
export function search(classes) {
  const [box, text, list] = ["search-box", "search-text", "search-list"].map(byId);
  let found = [];
  let at = 0;
  const draw = () => {
    const part = text.value.trim().toLowerCase();
    const places = classes.map((name, label) => [name.toLowerCase().indexOf(part), label]).filter(([place]) => place >= 0);
    found = places.sort((a, b) => Number(a[0] > 0) - Number(b[0] > 0) || a[1] - b[1]).slice(0, SHOWN).map(([, label]) => label);
    at = Math.min(at, Math.max(found.length - 1, 0));
    list.replaceChildren(...found.map((label, place) => make("div", {
      role: "option", id: `class-${place}`, "aria-selected": String(place === at), text: classes[label], on: { click: () => choose(label) },
    })));
    text.setAttribute("aria-activedescendant", found.length ? `class-${at}` : "");
    list.children[at]?.scrollIntoView({ block: "nearest" });
  };
  let choose;
  return new Promise((done) => {
    choose = (label) => {
      box.returnValue = "";
      box.close();
      done(label);
    };
    text.oninput = () => { at = 0; draw(); };
    text.onkeydown = (event) => {
      event.stopPropagation(); // the box may be closed by the time that the page hears of it
      if (event.key === "ArrowDown" || event.key === "ArrowUp") at = Math.max(0, Math.min(found.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)));
      else if (event.key === "Enter" && found.length) { event.preventDefault(); choose(found[at]); return; }
      else return;
      event.preventDefault();
      draw();
    };
    whenClosed(box, () => done(undefined));
    text.value = "";
    draw();
    box.showModal();
    text.focus();
  });
}

export function comment(before) {
  const [box, text] = ["comment-box", "comment-text"].map(byId);
  text.value = before;
  return new Promise((done) => {
    whenClosed(box, () => done(box.returnValue === "keep" ? text.value.trim() : undefined));
    box.returnValue = "";
    box.showModal();
    text.focus();
  });
}

// Who is at it, how far they agree, and the curve of the rounds; resolves to true where somebody chose to train now.
export function people(facts) {
  const box = byId("people-box");
  drawPeople(facts);
  return new Promise((done) => {
    whenClosed(box, () => done(box.returnValue === "enough"));
    box.returnValue = "";
    box.showModal();
  });
}

export function drawPeople(facts) {
  const head = ["", "answers", "a minute", "seconds each", "agree with others", "agree with guesses", "right where known"];
  const rows = (facts.people ?? []).map((person) => make("tr", {},
    make("th", { scope: "row", text: `${person.name}${person.is_here ? " ●" : ""}`, title: person.is_here ? "here now" : "" }),
    ...[person.num_answers, person.per_minute.toFixed(0), person.seconds === null ? "–" : person.seconds.toFixed(1),
      percent(person.agreement), percent(person.confirmed), knownWords(person.known)].map((text) => make("td", { text }))));
  byId("people-table").replaceChildren(make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((text) => text ? make("th", { scope: "col", text }) : make("td", {})))),
    make("tbody", {}, ...rows)));
  byId("curve").replaceChildren(...curve(facts.curve));
  byId("loop").textContent = loopWords(facts);
  byId("enough").disabled = facts.state !== "asking" || facts.is_enough;
}

// Of the rounds before: of this one nothing is told, or whoever watched would know which items those are.
const knownWords = (known) => known ? `${percent(1 - known.error_rate)} of ${known.num_answers}` : "–";

export function loopWords(facts) {
  const driver = facts.driver ? `A run is at work (process ${facts.driver.pid} on ${facts.driver.host}).` : "No run is at work: start `raylabel run` to go on.";
  if (facts.state === "done") return "The campaign is done.";
  if (facts.state === "working") return `The answers of round ${facts.round} are taken. ${driver}`;
  if (facts.state === "waiting") return `No round asks yet. ${driver}`;
  if (facts.num_open === 0) return `Round ${facts.round} has its answers. ${driver}`;
  return `${driver} Train now leaves out what need not be answered.`;
}

const SVG = "http://www.w3.org/2000/svg";

function curve(points) {
  const judged = points.filter((point) => point.accuracy !== null);
  if (!judged.length) return [];
  const words = judged.map((point) => `round ${point.round}: ${percent(point.accuracy)} right of ${counted(point.num_answers, "answer")}`);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 300 100");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `held-out accuracy by round: ${words.join("; ")}`);
  const most = Math.max(...judged.map((point) => point.num_answers));
  const places = judged.map((point) => [10 + (280 * point.num_answers) / most, 95 - 90 * point.accuracy]);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", places.map((place) => place.join(",")).join(" "));
  svg.append(line);
  for (const [x, y] of places) {
    const dot = document.createElementNS(SVG, "circle");
    for (const [name, value] of [["cx", x], ["cy", y], ["r", 3]]) dot.setAttribute(name, value);
    svg.append(dot);
  }
  return [svg, make("p", { text: `${words.at(-1)}; ${counted(points.at(-1).num_auto, "label")} by machine` })];
}

export { keyOf };
