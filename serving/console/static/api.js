// Asks the service. Paths are relative to the page, so any prefix does.

import * as memory from "./memory.js";

const UNREACHABLE = {
  status: 0,
  title: "The service does not answer",
  detail: "Nothing came back from this address. See that it runs (`python -m cluster.local status`), then try again.",
};

const NO_SEGMENT = {
  status: 0,
  title: "A browser cannot ask for this id",
  detail: "In an address, . and .. mean folders.",
  remedy: "Ask with `curl --path-as-is`.",
};

/** What the service said is wrong: an RFC 9457 problem. */
export class Problem extends Error {
  constructor(told) {
    super(told.title);
    this.status = told.status;
    this.title = told.title;
    this.detail = told.detail ?? "";
    this.remedy = told.remedy ?? "";
  }
}

async function ask(path, { method = "GET", query = {}, body, signal } = {}) {
  const asked = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const tail = asked.length > 0 ? `?${new URLSearchParams(asked)}` : "";
  const headers = { Accept: "application/json, application/problem+json" };
  if (memory.key.get() !== "") headers.Authorization = `Bearer ${memory.key.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let reply;
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    reply = await fetch(path + tail, { method, headers, body: text, signal, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
  const told = await reply.json().catch(() => null);
  if (reply.ok && told !== null) return told;
  const plain = { title: reply.statusText || "The service failed", detail: "It gave no reason." };
  throw new Problem({ ...plain, ...told, status: reply.status });
}

function ofUser(id, what) {
  if (id === "." || id === "..") throw new Problem(NO_SEGMENT); // a browser takes it out of the path
  return `v1/users/${encodeURIComponent(id)}/${what}`;
}

export const health = () => ask("healthz");

export const profile = async (id, signal) => ask(ofUser(id, "profile"), { signal });

export const interests = async (id, signal) => ask(ofUser(id, "interests"), { signal });

/** @param asOf Unix seconds; null = now. @param version the least that the answer must know. */
export const slate = async (id, { asOf, version, k }, signal) =>
  ask(ofUser(id, "recommendations"), { query: { as_of: asOf, min_version: version, k }, signal });

/** The slate of a visitor. */
export const visit = (session, signal) => ask("v1/recommendations", { method: "POST", body: session, signal });

export const post = (event) => ask("v1/events", { method: "POST", body: event });

/** A fresh id, so that a retry counts once; also where the page is not in a secure context. */
export function freshId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
