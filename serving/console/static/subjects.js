// Whom the console is about: a user whom the service knows by id, or a visitor who is nobody.

import * as api from "./api.js";

const NO_GRAPH = "The bundle that is served has no graph of interests, so there are no curves. A newer one of `pipelines.train` or `pipelines.embed` has.";

/** A user: what they do is posted as events, and read back by the version that the reply names. */
export class User {
  #version = null; // the least that answers must know

  constructor(id) {
    this.id = id;
    this.title = id;
  }

  async look(signal) {
    const [known, profile] = await Promise.all([this.#interests(signal), api.profile(this.id, signal)]);
    const reply = known ?? { ...profile, is_whole: true, interests: [], note: NO_GRAPH };
    return { reply, nEvents: profile.n_events, lastAt: profile.last_event_at };
  }

  /** Null where the bundle has no graph of interests. */
  async #interests(signal) {
    try {
      return await api.interests(this.id, signal);
    } catch (error) {
      if (error.status !== 404) throw error;
      return null;
    }
  }

  slate(asOf, k, signal) {
    return api.slate(this.id, { asOf, version: this.#version, k }, signal);
  }

  /** What to send for a click; sent again it is the same event, and counts once. */
  doing(item, kind, requestId) {
    const event = { user_id: this.id, item_id: item.item_id, kind, event_id: api.freshId(), request_id: requestId, rank: item.rank };
    return async () => {
      this.#version = (await api.post(event)).version;
    };
  }
}

/** A visitor: what they touched goes with each question, and the service keeps nothing of it. */
export class Visitor {
  id = null;
  title = "A visitor";
  #items = [];
  #now = null;

  async look(signal) {
    const { as_of: now } = await api.visit({ items: this.#items, k: 1 }, signal);
    this.#now = now;
    const last = this.#items.at(-1);
    const note = "What a visitor touches is kept in this page alone, and has no curves. The slate follows it all the same.";
    const reply = { as_of: now, cold_start: last === undefined, is_whole: true, interests: [], note };
    return { reply, nEvents: this.#items.length, lastAt: last?.ts ?? null };
  }

  slate(asOf, k, signal) {
    return api.visit({ items: this.#items, k, ...(asOf === null ? {} : { as_of: asOf }) }, signal);
  }

  doing(item, kind) {
    const touched = { item_id: item.item_id, kind, ts: this.#now };
    return async () => {
      if (!this.#items.includes(touched)) this.#items.push(touched);
    };
  }
}
