// An interest's weight at any moment, from what the service says of it as of one moment:
//
//   weight(t) = (short(t) + long(t)) / 2,   mass_h(t) = sum over events of importance 2^(-(t - t_j)/tau_h)
//
// Forward a mass only decays. Backward it grows, less the events that had not happened yet; it is
// known as far back as the events that the reply names one by one.

const LOST = 1e-9; // below this share of a mass, a difference is rounding

/** Weight over time of one interest of a reply of `GET .../interests`. */
export function curveOf(interest, reply) {
  const now = reply.as_of;
  const events = interest.events.filter((event) => event.ts <= now);
  const isWhole = interest.n_events <= events.length;
  const from = isWhole ? -Infinity : Math.min(now, ...events.map((event) => event.ts));
  const parts = [
    [interest.short, reply.short_half_life_s],
    [interest.long, reply.long_half_life_s],
  ];

  function mass(now_mass, halfLife, t) {
    const later = events.filter((event) => event.ts > t);
    const gone = later.reduce((sum, e) => sum + e.importance * 2 ** (-(now - e.ts) / halfLife), 0);
    const left = now_mass - gone;
    return left <= LOST * now_mass ? 0 : left * 2 ** ((now - t) / halfLife);
  }

  return {
    node: interest.node,
    label: interest.label,
    from,
    jumps: events.map((event) => event.ts),
    at: (t) => parts.reduce((sum, [now_mass, halfLife]) => sum + mass(now_mass, halfLife, t) / 2, 0),
  };
}

/** Points of a curve from one moment to another; a jump is a vertical line. */
export function points(curve, from, to, n = 160) {
  const start = Math.max(from, curve.from);
  const even = Array.from({ length: n + 1 }, (_, i) => start + ((to - start) * i) / n);
  const jumps = curve.jumps.filter((t) => t > start && t < to).flatMap((t) => [t - 1e-3, t]);
  const t = [...even, ...jumps].sort((a, b) => a - b);
  return { t, weight: t.map(curve.at) };
}

/** Seconds from a moment until the weight has halved, if nothing happens; null = there is none. */
export function halvesIn(curve, t, longest) {
  const half = curve.at(t) / 2;
  if (half <= 0) return null;
  let [low, high] = [0, longest];
  for (let i = 0; i < 50; i += 1) {
    const middle = (low + high) / 2;
    if (curve.at(t + middle) > half) low = middle;
    else high = middle;
  }
  return high;
}
