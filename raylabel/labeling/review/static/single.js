// One item, large: what the model guesses and which answered items lie near, where that may be shown; zoom.

import { make, percent } from "./dom.js";
import { isSeen, picture } from "./pictures.js";

const ZOOMS = [1, 2, 4, 8];

export class Single {
  side = "large";

  constructor(screen, desk) {
    this.desk = desk;
    this.screen = screen;
    [this.item] = screen.items;
    this.zoom = 0;
    const image = picture(this.item.row, "large", "the item to label");
    this.frame = make("div", { class: "frame", tabindex: 0, role: "group", "aria-label": "picture" }, image);
    this.frame.addEventListener("click", (event) => this.enlarge(event));
    const beside = make("div", { class: "beside" }, ...this.#guesses(), ...this.#near(), this.#note());
    this.element = make("section", { class: "single" }, make("h1", { text: "What is this?" }), this.frame, beside);
  }

  shown() {
    this.frame.focus({ preventScroll: true });
  }

  rows() {
    return this.screen.items.map((item) => item.row);
  }

  current() {
    return this.item;
  }

  say(label) {
    this.desk.send([this.#said("label", label)], this.#rest());
  }

  tell(kind) {
    this.desk.send([this.#said(kind, null)], this.#rest());
  }

  confirm() {
    if (!this.item.guesses.length || !isSeen(this.frame)) return { sent: [], rest: null };
    return { sent: [this.#said("label", this.item.guesses[0][0])], rest: this.#rest() };
  }

  key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) this.frame.scrollBy(step[0] * 80, step[1] * 80);
    else if (event.key === "z" || event.key === "+") this.enlarge();
    else if (event.key === "-") this.enlarge(null, -1);
    else return false;
    return true;
  }

  // Enlarge, around where a pointer is; after the largest comes the whole picture again.
  enlarge(event = null, by = 1) {
    this.zoom = (this.zoom + by + ZOOMS.length) % ZOOMS.length;
    const image = this.frame.querySelector("img");
    if (!image) return;
    const x = event ? event.offsetX / image.clientWidth : 0.5;
    const y = event ? event.offsetY / image.clientHeight : 0.5;
    this.frame.dataset.zoomed = String(this.zoom > 0);
    image.style.width = this.zoom ? `${100 * ZOOMS[this.zoom]}%` : "";
    this.frame.scrollTo(x * image.clientWidth - this.frame.clientWidth / 2, y * image.clientHeight - this.frame.clientHeight / 2);
  }

  commented(text) {
    this.item.comment = text;
    this.element.querySelector(".note").textContent = text;
  }

  #said(kind, label) {
    return { row: this.item.row, kind, label, comment: this.item.comment || null };
  }

  #rest() {
    const items = this.screen.items.slice(1);
    return items.length ? { ...this.screen, items } : null;
  }

  #guesses() {
    if (!this.item.guesses.length) return [];
    const buttons = this.item.guesses.map(([label, share]) =>
      make("li", {}, make("button", { on: { click: () => this.say(label) } },
        make("span", { text: this.desk.classes[label] }), make("span", { class: "share", text: percent(share) }))));
    return [make("h2", { text: "The model's guesses" }), make("ol", { class: "guesses" }, ...buttons)];
  }

  #near() {
    if (!this.item.neighbours.length) return [];
    const found = this.item.neighbours.map(([row, label]) =>
      make("li", {}, picture(row, "small", ""), make("span", { text: this.desk.classes[label] })));
    return [make("h2", { text: "Answered, and alike" }), make("ul", { class: "near" }, ...found)];
  }

  #note() {
    const said = this.item.said;
    const before = said ? `You said: ${said.kind === "label" ? this.desk.classes[said.label] : said.kind.replace("_", " ")}. ` : "";
    return make("p", { class: "about" }, make("span", { text: before }), make("span", { class: "note", text: this.item.comment ?? "" }),
      make("span", { class: "id", text: this.item.id }));
  }
}
