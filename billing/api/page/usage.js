// Usage of an account: a chart by hour, day or month, and the products and rules that made it.

import { Problem, get, of } from "./api.js";
import { chart } from "./chart.js";
import { alarm, choice, h, say, show } from "./dom.js";
import { amount, count, part, pico, plain } from "./figures.js";

const EVERY = {
  hour: { buckets: 48, label: (at) => at.slice(11, 16), told: (at) => `${at.slice(0, 10)} ${at.slice(11, 16)}` },
  day: { buckets: 31, label: (at) => at.slice(5, 10), told: (at) => at.slice(0, 10) },
  month: { buckets: 12, label: (at) => at.slice(0, 7), told: (at) => at.slice(0, 7) },
};

/** Draw both sections; onRule: called with the filter of a product and rule that a person wants to see lines of. */
export function usage(account, balance, state, go, onRule) {
  const every = state.every in EVERY ? state.every : "day";
  const newest = balance.as_of.map((one) => one.time).filter(Boolean).sort().at(-1);
  const end = ending(state.to || newest || new Date().toISOString(), every);
  const start = moved(end, every, -EVERY[every].buckets);
  const span = { from: start.toISOString(), to: end.toISOString() };
  const body = h("div", { "aria-busy": "true" }, h("p", { class: "note" }, "Loading …"));
  const made = h("div", { "aria-busy": "true" }, h("p", { class: "note" }, "Loading …"));
  const move = (steps, label, text) =>
    h("button", { type: "button", class: "quiet", "aria-label": label, id: `move-${steps < 0 ? "back" : "on"}`,
      onclick: () => go({ every, to: moved(end, every, steps * EVERY[every].buckets).toISOString() }) }, text);
  const pick = choice("Granularity", [["hour", "Hour"], ["day", "Day"], ["month", "Month"]], every, (one) => go({ every: one }));
  fillChart(body, account, every, span);
  fillMade(made, account, every, span, onRule);
  return [
    h("section", { class: "card", "aria-labelledby": "usage" },
      h("div", { class: "heading" }, h("h2", { id: "usage" }, "Usage"),
        h("div", { class: "tools" }, pick, move(-1, "Earlier", "‹"), move(1, "Later", "›"))), body),
    h("section", { class: "card", "aria-labelledby": "made" }, h("h2", { id: "made" }, "Products and rules"), made),
  ];
}

async function fillChart(body, account, every, span) {
  const found = await tried(body, () => get(of(account, "usage"), { every, ...span, fill: "true" }));
  if (!found) return;
  const told = EVERY[every].told;
  const points = found.usage.map((one) => ({
    amount: one.amount,
    label: EVERY[every].label(one.bucket),
    told: [h("strong", {}, told(one.bucket)), " ", amount(one.amount, found.currency), ` · ${count(one.events)} events`,
      ` · quantity ${plain(one.quantity)}`],
  }));
  const last = found.usage.at(-1);
  const words = `Charges of ${account} by ${every}, ${told(span.from)} to ${last ? told(last.bucket) : told(span.to)}`;
  show(body,
    h("p", { class: "sum" }, h("span", { id: "usage-total" }, amount(found.total.amount, found.currency)),
      h("span", { class: "note" }, ` · ${count(found.total.events)} events · ${told(span.from)} to ${last ? told(last.bucket) : ""} UTC`)),
    found.total.events === 0 ? h("p", { class: "note" }, "No usage in this time; look earlier.") : null,
    chart(points, `${words}. Arrow keys choose a bar.`),
    h("details", {}, h("summary", {}, "The same as a table"), table(found, every)));
  say(`Usage by ${every} loaded.`);
}

function table(found, every) {
  const used = found.usage.filter((one) => one.events !== 0);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Usage as a table" },
    h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, every), ["Events", "Quantity", "Amount"].map((one) =>
        h("th", { scope: "col", class: "number" }, one)))),
      h("tbody", {}, used.map((one) => h("tr", {},
        h("th", { scope: "row" }, EVERY[every].told(one.bucket)), h("td", { class: "number" }, count(one.events)),
        h("td", { class: "number" }, plain(one.quantity)), h("td", { class: "number" }, amount(one.amount, found.currency)))))));
}

async function fillMade(body, account, every, span, onRule) {
  let rows;
  let note = null;
  try {
    rows = (await get(of(account, "charged"), span)).charged;
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 504) return told(body, error);
    const found = await tried(body, () => get(of(account, "usage"), { every, by: "product", ...span }));
    if (!found) return undefined;
    rows = byProduct(found);
    note = h("p", { class: "note" }, "There are too many lines in this time to tell rules apart: choose a shorter one.");
  }
  const most = rows.reduce((a, one) => (size(one) > a ? size(one) : a), 0n);
  body.removeAttribute("aria-busy");
  show(body, note, rows.length ? null : h("p", { class: "note" }, "Nothing was charged in this time."),
    h("ul", { class: "made" }, rows.map((one) => {
      const bar = h("span", { class: "share" });
      bar.style.width = `${(100 * part(size(one), most)).toFixed(2)}%`;
      return h("li", {}, h("button", { type: "button", "aria-label": `Transactions of ${one.product} ${one.rule}`,
        onclick: () => onRule({ product: one.product, rule: one.rule || undefined }) },
      h("span", { class: "names" }, h("strong", {}, one.product), h("span", { class: "rule" }, one.rule)),
      h("span", { class: "many" }, `${count(one.lines)} ${one.lines === 1 ? "line" : "lines"}`),
      amount(one.amount, one.currency), bar));
    })));
  return undefined;
}

function size(one) {
  const value = pico(one.amount);
  return value < 0n ? -value : value;
}

function byProduct(found) {
  const total = new Map();
  for (const one of found.usage) {
    const old = total.get(one.dims.product) ?? { lines: 0, amount: 0n };
    total.set(one.dims.product, { lines: old.lines + one.events, amount: old.amount + pico(one.amount) });
  }
  return [...total].map(([product, one]) => {
    const digits = String(one.amount < 0n ? -one.amount : one.amount).padStart(13, "0");
    const text = `${one.amount < 0n ? "-" : ""}${digits.slice(0, -12)}.${digits.slice(-12)}`;
    return { product: product ?? "", rule: "", lines: one.lines, amount: text, currency: found.currency };
  });
}

async function tried(body, ask) {
  try {
    const found = await ask();
    body.removeAttribute("aria-busy");
    return found;
  } catch (error) {
    return told(body, error);
  }
}

function told(body, error) {
  body.removeAttribute("aria-busy");
  if (!(error instanceof Problem)) throw error;
  show(body, alarm(error.message));
  return undefined;
}

/** The end of the bucket that a moment is in. */
function ending(text, every) {
  const at = new Date(text);
  const exact = Number.isNaN(at.getTime()) ? new Date() : at;
  const begin = begun(exact, every);
  return begin.getTime() === exact.getTime() ? exact : moved(begin, every, 1);
}

function begun(at, every) {
  if (every === "month") return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1));
  const length = every === "hour" ? 3_600_000 : 86_400_000;
  return new Date(Math.floor(at.getTime() / length) * length);
}

function moved(at, every, steps) {
  if (every === "month") return new Date(Math.max(0, Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + steps, 1)));
  return new Date(Math.max(0, at.getTime() + steps * (every === "hour" ? 3_600_000 : 86_400_000)));
}
