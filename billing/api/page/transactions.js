// An account's lines, newest day first, a page at a time, each with what explains it.

import { Problem, get, of } from "./api.js";
import { alarm, h, say, show } from "./dom.js";
import { amount, count, moment, plain } from "./figures.js";

const PAGE = 20;
const NO_RULES = new Map([["", "charges another account"], ["+", "credit"], ["!", "voided before it came"]]); // lines that charge nothing
const FIELDS = [["product", "Product"], ["rule", "Rule"], ["event", "Event"]];

/** Draw the section; wanted: what its lines must have; asked: a person asked for them, so they are brought into view. */
export function transactions(account, wanted, asked = false) {
  const list = h("div", { "aria-busy": "true" });
  const before = []; // cursors of the pages before this one
  const heading = h("h2", { id: "lines", tabindex: "-1" }, "Transactions");
  const inputs = FIELDS.map(([name, label]) => h("label", {}, label,
    h("input", { name, value: wanted[name] ?? "", maxlength: "64", autocomplete: "off", autocapitalize: "none", spellcheck: "false" })));
  const form = h("form", { class: "filter", "aria-label": "Filter transactions", onsubmit: (event) => {
    event.preventDefault();
    wanted = Object.fromEntries([...new FormData(form)].map(([name, text]) => [name, text.trim()]));
    before.length = 0;
    turn(undefined);
  } }, inputs, h("button", { type: "submit" }, "Filter"));
  const turn = (cursor) => page(list, account, wanted, cursor, before, turn);
  turn(undefined);
  if (asked) queueMicrotask(() => { heading.scrollIntoView({ block: "start" }); heading.focus({ preventScroll: true }); });
  const open = Object.values(wanted).some(Boolean) || matchMedia("(min-width: 40rem)").matches; // a phone shows lines first
  return h("section", { class: "card", "aria-labelledby": "lines" }, heading,
    h("details", { open }, h("summary", {}, "Filter"), form), list);
}

async function page(list, account, wanted, cursor, before, turn) {
  list.setAttribute("aria-busy", "true");
  let found;
  try {
    found = await get(of(account, "transactions"), { ...wanted, cursor, limit: PAGE });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    show(list, alarm(error.message));
    return;
  } finally {
    list.removeAttribute("aria-busy");
  }
  const first = before.length * PAGE + 1;
  const newer = h("button", { type: "button", class: "quiet", disabled: before.length === 0, onclick: () => turn(before.pop()) }, "‹ Newer");
  const older = h("button", { type: "button", class: "quiet", disabled: found.next === null, onclick: () => {
    before.push(cursor);
    turn(found.next);
  } }, "Older ›");
  const lines = found.transactions;
  const words = lines.length ? `Lines ${count(first)} to ${count(first + lines.length - 1)}` : "No lines";
  show(list,
    lines.length ? h("ol", { class: "lines", start: first }, lines.map((line, at) => row(account, line, `why-${at}`)))
      : h("p", { class: "note" }, "No such transactions."),
    h("nav", { class: "pages", "aria-label": "Pages of transactions" }, newer, h("span", { class: "note" }, words), older));
  say(`${words} of transactions.`);
}

function row(account, line, id) {
  const why = h("div", { class: "why", id, hidden: true });
  const button = h("button", { type: "button", class: "line", "aria-expanded": "false", "aria-controls": id, onclick: () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    why.hidden = !open;
    if (open && !why.hasChildNodes()) explain(why, account, line);
  } },
  h("span", { class: "when" }, moment(line.time)),
  h("span", { class: "names" }, h("strong", {}, line.product), h("span", { class: "rule" }, NO_RULES.get(line.rule) ?? line.rule),
    line.line < 0 ? h("span", { class: "tag" }, "void") : null),
  h("span", { class: "many" }, `× ${plain(line.quantity)}`),
  amount(line.amount, line.currency),
  h("span", { class: "id" }, line.event));
  return h("li", {}, button, why);
}

async function explain(why, account, line) {
  show(why, h("p", { class: "note" }, "Loading …"));
  const next = new Date(Date.parse(`${line.day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
  const query = { origin: line.origin ?? undefined, from: line.day, to: next };
  try {
    const found = await get(of(account, `transactions/${encodeURIComponent(line.event)}/explain`), query);
    show(why, h("p", {}, "Event ", h("code", {}, line.event), line.origin ? ` of account ${line.origin}` : "", " charged ",
      amount(found.total, line.currency), found.lines.length > 1 ? ` in ${found.lines.length} lines:` : ":"),
    h("ul", {}, found.lines.map(explained)));
    say(`Explanation of ${line.event}.`);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    show(why, alarm(error.message));
  }
}

function explained({ line, rule, same_book: same }) {
  const attributes = Object.entries(line.attributes);
  return h("li", {},
    h("p", {}, amount(line.amount, line.currency), ` for ${plain(line.quantity)} of ${line.product}, `,
      NO_RULES.get(line.rule) ?? ["by rule ", h("code", {}, line.rule)]),
    h("dl", { class: "facts" },
      rule === null ? unruled(line) : ruled(rule),
      attributes.length ? fact("Recorded", attributes.map(([name, text]) => `${name}: ${text}`).join("; ")) : null,
      fact("Book", `version ${line.book_version}${same ? "" : ", which is not the one in force"}`)));
}

function unruled(line) {
  return fact("Rule", NO_RULES.has(line.rule) ? "none: nothing is charged; what a credit has paid is told with the balance"
    : "the book in force no longer has it");
}

function ruled(rule) {
  return [
    fact("Price", `${rule.price.replaceAll("_", " ")}, ${rule.currency}`), fact("Group", rule.group),
    fact("When", Object.entries(rule.when).map(([name, words]) => `${name} is ${words}`).join("; ") || "always"),
    rule.since || rule.until ? fact("In force", `${rule.since ?? "ever"} to ${rule.until ?? "now"}`) : null,
  ];
}

function fact(name, text) {
  return [h("dt", {}, name), h("dd", {}, text)];
}
