// What is told where there is nothing to show: why, and what the loop does.

import { loopWords } from "./dialogs.js";
import { counted, make } from "./dom.js";

// facts: of the round, as the server tells them; null before it has.
export function nothing(facts) {
  if (!facts) return [make("h1", { text: "Loading …" })];
  const title = { done: "Done", working: "The loop is at work", waiting: "Waiting for the first questions" }[facts.state]
    ?? (facts.gives ? null : "The server has just begun again: a moment")
    ?? (facts.num_open ? "Nothing is left for you" : "All answered");
  const others = facts.state === "asking" && facts.num_open
    ? `${counted(facts.num_open, "item")} wait for somebody else, or are on somebody's screen. Train now goes on without them, as far as they are not needed.` : "";
  return [make("h1", { text: title }), make("p", { text: others }), make("p", { text: loopWords(facts) }),
    make("p", { text: "This page goes on by itself." })];
}
