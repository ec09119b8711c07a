// Elements made by hand: names of classes and items only ever become text, never markup.

export const byId = (id) => document.getElementById(id);

export function make(tag, { text, on = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  if (text !== undefined) element.textContent = text;
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.filter(Boolean));
  return element;
}

const number = new Intl.NumberFormat("en");
export const counted = (count, noun) => `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;
export const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(0)} %`);
