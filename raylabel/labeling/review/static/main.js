// The desk: shows one screen after another, sends what is said, and keeps in step with the round.

import * as api from "./api.js";
import * as dialogs from "./dialogs.js";
import { byId, make } from "./dom.js";
import { fitting, Grid } from "./grid.js";
import { drawSaved, drawStatus, told, trouble } from "./head.js";
import { classOf, keyOf } from "./keys.js";
import { nothing } from "./nothing.js";
import { fetchAhead } from "./pictures.js";
import { Single } from "./single.js";
import { turn } from "./theme.js";

const SINGLES = 12;
const LOOK_MS = 2000;

class Desk {
  classes = [];
  lined = []; // screens that come before any from the server
  view = null;
  facts = null;
  single = localStorage.getItem("single") === "yes";

  async begin() {
    const { classes } = await api.campaign();
    this.classes = classes;
    this.#listen();
    this.#drawFoot();
    this.#drawMode();
    if (api.numUnsent()) await api.resend(told);
    await this.look();
    await this.advance();
    setInterval(() => this.look(), LOOK_MS);
  }

  // Show the next screen: one that is lined up, the one fetched ahead, or a new one.
  // Nothing can be said in between: it would be said of the screen that has just been sent.
  advance() {
    this.view = null;
    this.#still(true);
    const mine = (this.advancing = this.#goOn().finally(() => {
      if (this.advancing === mine) this.advancing = null;
    }));
    return mine;
  }

  async #goOn() {
    const screen = this.lined.shift() ?? (await this.#ahead()) ?? { kind: "empty", items: [] };
    this.show(screen);
    if (screen.kind !== "empty" && !this.lined.length) this.#prefetch();
  }

  #still(yes) {
    byId("work").inert = yes;
    byId("foot").inert = yes || this.view === null;
  }

  show(screen) {
    this.screen = screen;
    this.since = performance.now();
    byId("work").inert = false; // before anything in it takes the focus
    if (screen.kind === "empty") {
      this.view = null;
      byId("work").replaceChildren(...nothing(this.facts));
    } else {
      this.view = screen.kind === "single" ? new Single(screen, this) : new Grid(screen, this);
      byId("work").replaceChildren(this.view.element);
      this.view.shown();
    }
    this.#still(false);
  }

  // Send what was said of the screen; `rest` are its items that are still to be asked.
  send(items, rest) {
    if (!items.length && !rest) return;
    const seconds = Math.min((performance.now() - this.since) / 1000, 86400);
    trouble("");
    if (rest) this.lined.unshift(rest);
    if (items.length) {
      const sent = api.send(this.screen.round, items, seconds, told).then(() => this.#lookSoon());
      this.sending = Promise.all([this.sending, sent]);
      drawSaved();
    }
    this.advance();
  }

  confirm() {
    const box = byId("work");
    if (this.view.list && box.scrollTop + box.clientHeight < box.scrollHeight - 8) {
      box.scrollBy(0, 0.8 * box.clientHeight);
      trouble("There is more below: look at all of it first.");
      return;
    }
    const { sent, rest } = this.view.confirm();
    if (sent.length || this.view.guess != null) this.send(sent, rest);
    else trouble("Nothing is said yet, or there is no picture to see: press a class's key first.");
  }

  // One at a time, and nothing is said meanwhile.
  async undo() {
    if (this.undoing) return;
    this.undoing = true;
    try {
      await this.#takeBack();
    } catch (error) {
      trouble(error.message);
    } finally {
      this.undoing = false;
      if (!this.advancing) this.#still(false);
      this.view?.shown();
    }
  }

  async #takeBack() {
    await this.sending;
    await this.advancing;
    this.#still(true);
    const { round, items } = await api.undo();
    await this.advancing; // the round may have moved on meanwhile
    this.#lookSoon();
    if (!items.length) {
      trouble("There is nothing to undo.");
      return;
    }
    trouble("");
    if (this.view) this.lined.unshift(this.screen);
    this.show({ kind: items.length > 1 ? "bare" : "single", round, group: null, items });
  }

  enlarge(item) {
    this.lined.unshift({ ...this.screen, items: this.screen.items.filter((other) => other !== item) });
    if (!this.lined[0].items.length) this.lined.shift();
    this.show({ ...this.screen, kind: "single", items: [item] });
  }

  async look() {
    let facts;
    try {
      facts = await api.status(this.#held());
    } catch (error) {
      trouble(`The server does not answer: ${error.message}`);
      this.away = true;
      return;
    }
    if (this.away) trouble("");
    this.away = false;
    const moved = this.facts && (this.facts.round !== facts.round || this.facts.state !== facts.state);
    this.facts = facts;
    drawStatus(facts);
    if (byId("people-box").open) dialogs.drawPeople(facts);
    if (moved) await this.#moved();
    else if (this.facts && !this.view && this.screen && !this.advancing) await this.#awaken();
  }

  // What was saved moves the figures: look, once for all that is saved together.
  #lookSoon() {
    this.soon ??= setTimeout(() => {
      this.soon = null;
      this.look();
    }, 200);
  }

  // The loop has gone on: what was asked before is asked no more.
  async #moved() {
    this.lined = [];
    this.coming = null;
    await this.advance();
  }

  async #awaken() {
    if (this.facts.gives && this.facts.num_open_to_me > 0) {
      this.coming = null;
      await this.advance();
    } else {
      byId("work").replaceChildren(...nothing(this.facts));
    }
  }

  #held() {
    const screens = [this.screen, ...this.lined].filter(Boolean);
    return [...screens.flatMap((screen) => screen.items.map((item) => item.row)), ...api.unsentRows()];
  }

  #fetch() {
    const size = this.single ? SINGLES : fitting(byId("work"));
    return api.next(this.single, size, this.#held()).then((screen) => {
      fetchAhead(screen.items.map((item) => item.row), screen.kind === "single" ? "large" : "small");
      return screen;
    }, (error) => {
      trouble(error.message);
      return null;
    });
  }

  #prefetch() {
    this.coming ??= this.#fetch();
  }

  async #ahead() {
    let screen = await (this.coming ?? this.#fetch());
    this.coming = null;
    // What was fetched ahead may be empty by now, or only then: ask once more.
    if (screen?.kind === "empty") {
      await this.sending;
      screen = await this.#fetch();
    }
    // Why there is nothing is told as it is now: the server may have just begun again.
    if (screen?.kind === "empty") this.facts = await api.status(this.#held()).catch(() => this.facts);
    return screen;
  }

  async chooseClass() {
    const view = this.view;
    const label = await dialogs.search(this.classes);
    if (label !== undefined && this.view === view) view.say(label);
    view.shown();
  }

  async comment() {
    const view = this.view;
    const text = await dialogs.comment(view.current().comment ?? "");
    if (text !== undefined) view.commented(text);
    view.shown();
  }

  async people() {
    if (!(await dialogs.people(this.facts))) return;
    try {
      await api.enough();
      await this.look();
      await this.#moved();
    } catch (error) {
      trouble(error.message);
    }
  }

  async toggleMode() {
    this.single = !this.single;
    localStorage.setItem("single", this.single ? "yes" : "no");
    this.#drawMode();
    await this.sending;
    this.lined = [];
    this.coming = null;
    this.screen = null;
    await this.advance();
  }

  #drawMode() {
    byId("mode").textContent = this.single ? "Grid" : "One by one";
  }

  #drawFoot() {
    const classes = this.classes.map((name, label) => [name, label]).filter(([, label]) => keyOf(label) !== undefined);
    const button = (text, key, click) => make("button", { on: { click } }, make("kbd", { text: key }), make("span", { text }));
    byId("foot").replaceChildren(
      make("div", { class: "classes" }, ...classes.map(([name, label]) => button(name, keyOf(label), () => this.view.say(label))),
        button("search", "/", () => this.chooseClass())),
      make("div", { class: "commands" },
        button("confirm", "Enter", () => this.confirm()), button("cannot tell", "t", () => this.view.tell("cannot_tell")),
        button("skip", "s", () => this.view.tell("skip")), button("undo", "u", () => this.undo()),
        button("comment", "c", () => this.comment())));
  }

  #listen() {
    byId("mode").onclick = () => this.toggleMode();
    byId("people").onclick = () => this.people();
    byId("theme").onclick = turn;
    byId("help").onclick = dialogs.help;
    addEventListener("pagehide", api.leave);
    addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || dialogs.isOpen()) return;
    const onButton = event.target.closest("header button, header a, footer button, .beside button");
    if (onButton && (event.key === "Enter" || event.key === " ")) return;
    const anywhere = { "?": dialogs.help, m: () => this.toggleMode(), p: () => this.people(), d: turn, u: () => this.undo() }[event.key];
    if (anywhere) anywhere();
    else if (!this.view || byId("work").inert || !this.#onScreen(event)) return;
    event.preventDefault();
  }

  #onScreen(event) {
    const command = {
      Enter: () => this.confirm(), "/": () => this.chooseClass(), c: () => this.comment(),
      t: () => this.view.tell("cannot_tell"), s: () => this.view.tell("skip"),
    }[event.key];
    const label = classOf(event, this.classes);
    if (command) command();
    else if (label !== undefined) this.view.say(label, event.shiftKey);
    else return this.view.key(event);
    return true;
  }
}

new Desk().begin();
