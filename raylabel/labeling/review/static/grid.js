// Many items at once: of one guessed class, where the wrong ones are marked, or bare, where each is told what it is.

import { make } from "./dom.js";
import { isSeen, picture } from "./pictures.js";

const MOST_TILES = 96;
const WORDS = { cannot_tell: "cannot tell", skip: "skipped" };

export class Grid {
  side = "small";

  // screen: kind "group" or "bare", group, items. What is said of an item is kept on it (said, marked, comment), so that
  // it is still there when the screen is shown again.
  constructor(screen, desk) {
    this.desk = desk;
    this.screen = screen;
    this.guess = screen.kind === "group" && screen.items[0].guesses.length ? screen.group : null;
    this.tiles = screen.items.map((item, place) => this.#tile(item, place));
    this.at = 0;
    const list = make("ul", { class: "grid" }, ...this.tiles.map((tile) => make("li", {}, tile.button)));
    this.element = make("section", {}, make("h1", { text: this.#title() }), make("p", { class: "hint", text: this.#hint() }), list);
    this.list = list;
    this.tiles.forEach((tile) => this.#show(tile));
  }

  shown() {
    this.#move(0);
  }

  rows() {
    return this.tiles.map((tile) => tile.item.row);
  }

  current() {
    return this.tiles[this.at].item;
  }

  // A class for the tile under the cursor, or for all that have none yet.
  say(label, all = false) {
    const meant = all ? this.tiles.filter((tile) => !tile.item.said) : [this.tiles[this.at]];
    for (const tile of meant) this.#set(tile, "label", label);
    if (!all) this.#onwards();
  }

  tell(kind) {
    this.#set(this.tiles[this.at], kind, null);
    this.#onwards();
  }

  mark(tile = this.tiles[this.at]) {
    if (this.guess === null) return;
    tile.item.said = null;
    tile.item.marked = !tile.item.marked;
    this.#show(tile);
  }

  // What can be sent, and what is left: items marked wrong and those whose picture nobody saw are asked one by one,
  // those without an answer once more.
  confirm() {
    const sent = [];
    const left = [];
    for (const { item, button } of this.tiles) {
      const comment = item.comment || null;
      if (item.said) sent.push({ row: item.row, kind: item.said.kind, label: item.said.label, comment });
      else if (this.guess !== null && !item.marked && isSeen(button)) sent.push({ row: item.row, kind: "label", label: this.guess, comment });
      else left.push(item);
    }
    const rest = left.length ? { ...this.screen, kind: this.guess === null ? "bare" : "single", items: left } : null;
    return { sent, rest };
  }

  key(event) {
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (step) this.#move(step);
    else if (event.key === " " || event.key === "x") this.mark();
    else return false;
    return true;
  }

  #title() {
    if (this.guess !== null) return this.desk.classes[this.guess];
    return this.screen.kind === "group" ? "These look alike: what are they?" : "What are these?";
  }

  #hint() {
    if (this.guess !== null) return "Mark those that are something else, or say what they are; Enter confirms the rest.";
    return "A class key answers and moves on; Enter sends.";
  }

  #tile(item, place) {
    const words = make("span", { class: "said" });
    const button = make("button", { class: "tile", tabindex: place ? -1 : 0 }, picture(item.row, "small", `item ${place + 1}`), words);
    const tile = { item, button, words };
    let before = {};
    button.addEventListener("click", (event) => {
      if (event.detail > 1) return; // of a double click, which means something else
      before = { said: item.said, marked: item.marked };
      this.#move(place - this.at);
      this.mark(tile);
    });
    button.addEventListener("dblclick", () => {
      Object.assign(item, before);
      this.desk.enlarge(item);
    });
    return tile;
  }

  #set(tile, kind, label) {
    tile.item.marked = false;
    tile.item.said = { kind, label };
    this.#show(tile);
  }

  #onwards() {
    if (this.at + 1 < this.tiles.length) this.#move(1);
  }

  #move(step) {
    const place = Math.min(Math.max(this.at + step, 0), this.tiles.length - 1);
    this.tiles[this.at].button.tabIndex = -1;
    this.at = place;
    this.tiles[place].button.tabIndex = 0;
    this.tiles[place].button.focus();
  }

  #show({ item: { said, marked, comment }, button, words }) {
    const name = said?.kind === "label" ? this.desk.classes[said.label] : WORDS[said?.kind];
    words.textContent = name ?? (marked ? "not this" : "");
    button.dataset.state = said ? "said" : marked ? "wrong" : "";
    button.setAttribute("aria-pressed", String(Boolean(said || marked)));
    if (comment) words.append(" ✎");
  }

  commented(text) {
    this.current().comment = text;
    this.#show(this.tiles[this.at]);
  }
}

// As many tiles as are seen at once: whoever confirms a screen must have seen all of it.
export function fitting(box) {
  const [least, gap, around, above] = ["--tile", "--gap", "--around", "--above"]
    .map((name) => parseFloat(getComputedStyle(document.documentElement).getPropertyValue(name)));
  const columns = Math.max(2, Math.floor((box.clientWidth - 2 * around + gap) / (least + gap)));
  const tile = (box.clientWidth - 2 * around + gap) / columns;
  const lines = Math.max(2, Math.floor((box.clientHeight - 2 * around - above + gap) / tile));
  return Math.min(columns * lines, MOST_TILES);
}
