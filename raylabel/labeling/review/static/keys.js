// Which key means what. A class keeps its key for the whole campaign.

const CLASS_KEYS = [..."1234567890abefghijklnoqrvwy"];

export const COMMANDS = [
  ["Enter", "confirm: the rest is right, or the first guess is"],
  ["← ↑ → ↓", "move; where a picture is enlarged, look around in it"],
  ["x or Space", "mark as wrong, unmark"],
  ["class key", "say what it is"],
  ["Shift + class key", "say so of all that have no answer yet"],
  ["/", "search a class by name"],
  ["t", "cannot tell: it goes on to somebody else"],
  ["s", "skip"],
  ["u", "undo the last screen that was sent"],
  ["c", "comment"],
  ["z or + −", "enlarge"],
  ["m", "grid or one by one"],
  ["p", "people, and the curve of the rounds"],
  ["d", "dark or light"],
  ["?", "these keys"],
];

export const keyOf = (label) => CLASS_KEYS[label];

// The class that a key stands for, or undefined; with Shift as well.
export function classOf(event, classes) {
  const key = event.code.startsWith("Digit") ? event.code.slice(5) : event.key.toLowerCase();
  const label = CLASS_KEYS.indexOf(key);
  return label >= 0 && label < classes.length ? label : undefined;
}
