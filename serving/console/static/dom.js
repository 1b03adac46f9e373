// Elements from data. Data becomes text, never markup.

export const byId = (id) => document.getElementById(id);

/** An element; `given` are properties (`class`, `text`, `on`, `data`, `vars`) or attributes. */
export function el(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "vars") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const likesMotion = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Let the children of a list glide from where they were to where `change` puts them. */
export function glide(list, change) {
  const keyed = () => new Map([...list.children].map((row) => [row.dataset.key, row]));
  const before = new Map([...keyed()].map(([id, row]) => [id, row.getBoundingClientRect().top]));
  const top = list.getBoundingClientRect().top;
  change();
  if (!likesMotion() || before.size === 0) return;
  const moved = list.getBoundingClientRect().top - top;
  for (const [id, row] of keyed()) {
    const was = before.get(id);
    const by = was === undefined ? null : was + moved - row.getBoundingClientRect().top;
    const from = by === null ? { opacity: 0 } : { transform: `translateY(${by}px)` };
    if (by !== 0) row.animate([from, {}], { duration: 320, easing: "cubic-bezier(.2,.7,.2,1)" });
  }
}
