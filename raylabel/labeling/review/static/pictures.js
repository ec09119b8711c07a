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

// A picture, or words why there is none; one that did not come is asked for again while it is on the page.
export function picture(row, side, alt, wait = 1000) {
  const image = make("img", { alt, src: api.picture(row, side), draggable: "false" });
  const instead = (words, title = "") => {
    const told = make("span", { class: "broken", text: words, title });
    image.replaceWith(told);
    return told;
  };
  const failed = () => {
    const told = instead("did not load, trying again …");
    setTimeout(() => {
      if (told.isConnected) told.replaceWith(picture(row, side, alt, Math.min(2 * wait, 8000)));
    }, wait);
  };
  image.addEventListener("error", failed);
  image.addEventListener("load", async () => {
    if (image.naturalWidth > 1) return;
    try {
      const { code, message } = await api.problem(row);
      if (code) instead(`cannot be shown (${code})`, message);
      else image.dataset.narrow = "yes"; // one pixel wide, and a picture all the same
    } catch {
      failed(); // asked for again, with words: why it is broken is not known either
    }
  });
  return image;
}

// Whether the picture in this element is there to be seen: neither broken, nor failed, nor still on its way.
export function isSeen(element) {
  const image = element.querySelector("img");
  return image !== null && image.complete && (image.naturalWidth > 1 || image.dataset.narrow === "yes");
}
