// Speaking to the server. Answers are sent until they are saved: those not saved yet outlive a reload of the page.

export class Refused extends Error {}

// What the server says of a message that it will never take; after anything else it may yet take it.
const NEVER = [400, 409, 413];

const UNSENT = "unsent";
// Not randomUUID: browsers have it only where a page came over TLS or from this machine.
const unique = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
export const page = sessionStorage.getItem("page") || unique();
sessionStorage.setItem("page", page);

async function ask(path, body) {
  const request = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, request);
  if (response.ok) return response.json();
  const text = await response.text();
  const words = response.headers.get("content-type")?.startsWith("application/json") ? JSON.parse(text).error : text;
  if (NEVER.includes(response.status)) throw new Refused(words);
  if (response.status === 403) {
    // The token or the name is not (any more) one that it knows: what is unsent outlives the way to the door.
    location.assign("/enter");
    throw new Error(`sign in again: ${words}`);
  }
  throw new Error(words);
}


let me = null;

export async function campaign() {
  const found = await ask("/api/campaign");
  me = found.name;
  return found;
}

export const status = (rows) => ask("/api/status", { page, rows });
export const problem = (row) => ask(`/problem/${row}`);
export const undo = () => ask("/api/undo", { page });
export const enough = () => ask("/api/enough", { page });
export const next = (single, size, keep) => ask("/api/next", { page, single, size, keep });
export const picture = (row, side) => `/picture/${row}/${side}`;

export function leave() {
  fetch("/api/leave", {
    method: "POST", keepalive: true, headers: { "content-type": "application/json" }, body: JSON.stringify({ page }),
  });
}

const unsent = new Map(Object.entries(JSON.parse(sessionStorage.getItem(UNSENT) || "{}")));
// Somebody else's, said in this tab before, wait until they sign in again.
const mine = () => [...unsent].filter(([, { name }]) => name === me);
export const numUnsent = () => mine().length;
export const unsentRows = () => mine().flatMap(([, { message }]) => message.items.map((item) => item.row));

const keep = () => sessionStorage.setItem(UNSENT, JSON.stringify(Object.fromEntries(unsent)));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Send answers of one screen; tells what was saved once it is, and trouble while it is not.
export async function send(round, items, seconds, tell) {
  const submission = unique();
  unsent.set(submission, { name: me, message: { page, round, submission, seconds, items } });
  keep();
  await deliver(submission, tell);
}

export async function resend(tell) {
  await Promise.all(mine().map(([submission]) => deliver(submission, tell)));
}

async function deliver(submission, tell) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const done = await ask("/api/answer", { ...unsent.get(submission).message, page });
      unsent.delete(submission);
      keep();
      tell({ saved: done.saved.length, refused: done.refused });
      return;
    } catch (error) {
      if (error instanceof Refused) {
        unsent.delete(submission);
        keep();
        tell({ saved: 0, refused: [], words: error.message });
        return;
      }
      tell({ trouble: error.message });
      await pause(wait);
    }
  }
}
