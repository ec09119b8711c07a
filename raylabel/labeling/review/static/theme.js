// Dark or light: as the system says, until somebody chooses.

const chosen = localStorage.getItem("theme");
if (chosen) document.documentElement.dataset.theme = chosen;

export function turn() {
  const root = document.documentElement;
  const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}
