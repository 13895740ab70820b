// One account: its balance, and the sections that tell what made it.

import { Problem, get, of } from "./api.js";
import { alarm, arrive, h, say, show } from "./dom.js";
import { amount, count, moment, seconds } from "./figures.js";
import { transactions } from "./transactions.js";
import { usage } from "./usage.js";

/** Draw an account into the page; state: what its address says; go: changes the address. */
export async function account(main, name, state, go) {
  const balance = h("section", { class: "card", "aria-busy": "true", "aria-labelledby": "balance" },
    h("h2", { id: "balance" }, "Balance"), h("p", { class: "note" }, "Loading …"));
  const title = h("h1", { tabindex: "-1" }, name);
  const refresh = h("button", { type: "button", class: "quiet", onclick: () => go({}) }, "Refresh");
  show(main, h("div", { class: "heading" }, h("div", {}, h("p", { class: "over" }, "Account"), title), refresh), balance);
  arrive(title);
  let found;
  try {
    found = await get(of(name, "balance"));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) throw error;
    balance.removeAttribute("aria-busy");
    show(balance, h("h2", { id: "balance" }, "Balance"), alarm(error.message));
    return;
  }
  balance.removeAttribute("aria-busy");
  show(balance, h("h2", { id: "balance" }, "Balance"), found.balances.map(standing), credits(found.credits), fresh(found));
  say(`Balance of ${name} loaded.`);
  const lines = h("div");
  main.append(...usage(name, found, state, go, (wanted) => show(lines, transactions(name, wanted, true))), lines);
  show(lines, transactions(name, {}));
}

function standing(one) {
  const tile = (label, text, hint, strong = false) =>
    h("div", { class: strong ? "tile strong" : "tile" }, h("dt", {}, label),
      h("dd", {}, amount(text, one.currency)), h("dd", { class: "hint" }, hint));
  return h(
    "dl",
    { class: "tiles money", "data-currency": one.currency },
    tile("Charged", one.charged, `${count(one.events)} ${one.events === 1 ? "event" : "events"}`, true),
    tile("Due", one.due, "charged, and paid by no credit", true),
    tile("Credited", one.credited, "payments and grants"),
    tile("Granted", one.granted, "of it, grants"),
    tile("Remaining", one.remaining, "credit that can still pay"),
  );
}

function credits(list) {
  if (!list.length) return null;
  return h(
    "details",
    {},
    h("summary", {}, `${count(list.length)} ${list.length === 1 ? "credit" : "credits"}`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Credits" },
      h("table", {},
        h("thead", {}, h("tr", {}, ["Credit", "Time", "Expires", "Products", "Amount", "Paid", "Remaining"].map((one, at) =>
          h("th", { scope: "col", class: at > 3 ? "number" : null }, one)))),
        h("tbody", {}, list.map((one) => h("tr", {},
          h("th", { scope: "row" }, one.id, " ", h("span", { class: "tag" }, one.kind)),
          h("td", {}, moment(one.time)), h("td", {}, moment(one.expires)),
          h("td", {}, one.products.join(", ") || "any"),
          [one.amount, one.drawn, one.remaining].map((text) => h("td", { class: "number" }, amount(text, one.currency))),
        ))))),
  );
}

function fresh(found) {
  const lags = found.as_of.map((one) => one.lag_seconds).filter((one) => one !== null);
  const newest = found.as_of.map((one) => one.time).filter(Boolean).sort().at(-1);
  const parts = [
    newest ? `Complete up to the log's event of ${moment(newest)} UTC` : "Nothing is billed yet",
    lags.length ? `applied ${seconds(Math.min(...lags))} ago` : null,
    `book version ${found.book_version}`,
    found.consistent === false ? "shards stand at different positions" : null,
  ];
  return h("p", { class: "note" }, parts.filter(Boolean).join(" · "));
}
