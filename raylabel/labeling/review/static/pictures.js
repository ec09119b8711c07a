// Pictures: fetched ahead, and told in words where there is none.

import * as api from "./api.js";
import { make } from "./dom.js";

const ahead = new Map();

export function fetchAhead(rows, side) {
  for (const row of rows) {
    const source = api.picture(row, side);
    if (ahead.has(source)) continue;
    const image = new Image();
    image.src = source;
    ahead.set(source, image);
    if (ahead.size > 400) ahead.delete(ahead.keys().next().value);
  }
}

export function picture(row, side, alt) {
  const image = make("img", { alt, src: api.picture(row, side), draggable: "false" });
  image.addEventListener("load", async () => {
    if (image.naturalWidth > 1) return;
    const found = await api.problem(row);
    if (!found.code) return;
    image.replaceWith(make("span", { class: "broken", text: `cannot be shown (${found.code})`, title: found.message }));
  });
  return image;
}
