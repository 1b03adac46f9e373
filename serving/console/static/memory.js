// What this tab remembers: recent users, the API key, the theme. Nothing outlives the tab.

const PREFIX = "halflife.";
const MAX_RECENT = 6;
const kept = new Map(); // where storage is forbidden

function read(name) {
  try {
    return sessionStorage.getItem(PREFIX + name);
  } catch {
    return kept.get(name) ?? null;
  }
}

function write(name, value) {
  try {
    if (value === "") sessionStorage.removeItem(PREFIX + name);
    else sessionStorage.setItem(PREFIX + name, value);
  } catch {
    kept.set(name, value);
  }
}

export const key = { get: () => read("key") ?? "", set: (value) => write("key", value) };

export const theme = { get: () => read("theme"), set: (value) => write("theme", value) };

export function recentUsers() {
  try {
    const found = JSON.parse(read("recent") ?? "[]");
    return Array.isArray(found) ? found.filter((id) => typeof id === "string") : [];
  } catch {
    return [];
  }
}

export function rememberUser(id) {
  const users = [id, ...recentUsers().filter((other) => other !== id)].slice(0, MAX_RECENT);
  write("recent", JSON.stringify(users));
}
