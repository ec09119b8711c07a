// Many items at once: of one guessed class, where the wrong ones are marked, or bare, where each is told what it is.

import { make } from "./dom.js";
import { picture } from "./pictures.js";

const WORDS = { cannot_tell: "cannot tell", skip: "skipped" };

export class Grid {
  side = "small";

  // screen: kind "group" or "bare", group, items (of an undone screen with what was said).
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
    return this.tiles[this.at];
  }

  // A class for the tile under the cursor, or for all that have none yet.
  say(label, all = false) {
    const meant = all ? this.tiles.filter((tile) => !tile.kind) : [this.current()];
    for (const tile of meant) this.#set(tile, "label", label);
    if (!all) this.#onwards();
  }

  tell(kind) {
    this.#set(this.current(), kind, null);
    this.#onwards();
  }

  mark(tile = this.current()) {
    if (this.guess === null) return;
    tile.kind = tile.label = null;
    tile.marked = !tile.marked;
    this.#show(tile);
  }

  // What can be sent, and what is left: items marked wrong are asked one by one, those without an answer once more.
  confirm() {
    const sent = [];
    const left = [];
    for (const tile of this.tiles) {
      const comment = tile.comment || null;
      if (tile.kind) sent.push({ row: tile.item.row, kind: tile.kind, label: tile.label, comment });
      else if (this.guess !== null && !tile.marked) sent.push({ row: tile.item.row, kind: "label", label: this.guess, comment });
      else left.push(tile.item);
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
    const tile = { item, button, words, kind: item.said?.kind ?? null, label: item.said?.label ?? null, marked: false, comment: item.comment ?? "" };
    button.addEventListener("click", () => {
      this.#move(place - this.at);
      this.mark(tile);
    });
    button.addEventListener("dblclick", () => this.desk.enlarge(tile.item));
    return tile;
  }

  #set(tile, kind, label) {
    tile.marked = false;
    tile.kind = kind;
    tile.label = label;
    this.#show(tile);
  }

  #onwards() {
    if (this.at + 1 < this.tiles.length) this.#move(1);
  }

  #move(step) {
    const place = Math.min(Math.max(this.at + step, 0), this.tiles.length - 1);
    this.current().button.tabIndex = -1;
    this.at = place;
    this.current().button.tabIndex = 0;
    this.current().button.focus();
  }

  #show(tile) {
    const said = tile.kind === "label" ? this.desk.classes[tile.label] : WORDS[tile.kind];
    tile.words.textContent = said ?? (tile.marked ? "not this" : "");
    tile.button.dataset.state = tile.kind ? "said" : tile.marked ? "wrong" : "";
    tile.button.setAttribute("aria-pressed", String(Boolean(tile.kind) || tile.marked));
    if (tile.comment) tile.words.append(" ✎");
  }

  commented(text) {
    this.current().comment = text;
    this.#show(this.current());
  }
}
