// Times and numbers for people. Times are Unix seconds; dates are told in UTC.

export const HOUR = 3600;
export const DAY = 24 * HOUR;

const UNITS = [ // name, size, told from
  ["year", 365.25 * DAY, 364 * DAY],
  ["month", 30.44 * DAY, 60 * DAY],
  ["day", DAY, DAY],
  ["hour", HOUR, HOUR],
  ["minute", 60, 60],
];
const DATE = new Intl.DateTimeFormat("en-GB", {
  timeZone: "UTC", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
});

/** "3 days", "1.5 months": one unit, at most one decimal. */
export function duration(seconds) {
  for (const [name, size, from] of UNITS) {
    if (seconds < from * 0.98) continue;
    const count = seconds / size;
    const shown = count < 9.95 && name !== "minute" ? Math.round(count * 10) / 10 : Math.round(count);
    return `${shown} ${name}${shown === 1 ? "" : "s"}`;
  }
  return "moments";
}

export const date = (seconds) => `${DATE.format(seconds * 1000)} UTC`;

export const moment = (offset) => (offset === 0 ? "now" : `in ${duration(offset)}`);

export const ago = (seconds) => (seconds < 30 ? "just now" : `${duration(seconds)} ago`);

export const whole = (n) => n.toLocaleString("en");

/** Two digits that matter: 12, 3.4, 0.56, 0.012; below a thousandth it is 0. */
export function number(value) {
  const size = Math.abs(value);
  if (size < 0.0005) return "0";
  return value.toFixed(size >= 10 ? 0 : size >= 1 ? 1 : size >= 0.1 ? 2 : 3);
}

export const share = (value) => `${value > 0 && value < 0.01 ? "<1" : Math.round(100 * value)}%`;
