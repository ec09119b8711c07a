// The page's head: how far the round is, how fast it goes, and whether all that was said is saved.

import * as api from "./api.js";
import { byId, counted } from "./dom.js";

let saved = 0;
let late = false; // whether it was said that something is not saved yet

export function drawStatus(facts) {
  const asks = facts.round !== null;
  // The second draw of a targeted audit is asked after the last round.
  const round = facts.round < facts.num_rounds ? `Round ${facts.round + 1} of ${facts.num_rounds}` : "Last questions";
  byId("round").textContent = asks ? round : "";
  byId("bar").max = asks ? facts.num_items : 1;
  byId("bar").value = asks ? facts.num_items - facts.num_open : 0;
  byId("count").textContent = asks ? `${counted(facts.num_open, "item")} left` : "";
  const agreement = facts.agreement === null || facts.agreement === undefined ? "" : ` · ${(100 * facts.agreement).toFixed(0)} % agree`;
  byId("rate").textContent = asks ? `${facts.per_minute.toFixed(0)} a minute${agreement}` : "";
  if (facts.trouble) trouble(`The workspace cannot be read: ${facts.trouble}`);
}

export function trouble(words) {
  const box = byId("trouble");
  box.hidden = !words;
  box.textContent = words;
}

// Told by `api.send` what has become of a submission.
export function told({ saved: more, refused, words, trouble: why }) {
  if (why !== undefined) {
    trouble(`Not saved yet, trying again: ${why}`);
    late = true;
  } else {
    saved += more;
    const lost = refused.length ? `${counted(refused.length, "answer")} not taken: ${refused[0][1]}` : "";
    // Other words, of what was pressed since, stay.
    if (words || lost || late) trouble(words ?? lost);
    late = false;
  }
  drawSaved();
}

export function drawSaved() {
  const open = api.unsentRows().length;
  byId("saved").textContent = open ? `saving ${open} …` : saved ? `${counted(saved, "answer")} saved` : "";
  byId("saved").dataset.open = open;
}
