// What operators see: events a second, lag, each shard's part of the load and hot accounts, live.

import { Problem, get } from "./api.js";
import { spark } from "./chart.js";
import { alarm, arrive, h, show } from "./dom.js";
import { count, seconds } from "./figures.js";

const PAUSE_MS = 2000;
const HISTORY = 60;

/** Draw the view and keep it up to date until the signal says that it is left. */
export async function operators(main, signal) {
  const title = h("h1", { tabindex: "-1" }, "Operators");
  const body = h("div", { class: "stack", "aria-busy": "true" }, h("p", { class: "note" }, "Measuring …"));
  const wrong = h("div", { class: "wrong" });
  let paused = false;
  const pause = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
  } }, "Pause");
  show(main, h("div", { class: "heading" }, h("div", {}, h("p", { class: "over" }, "Live"), title), pause), wrong, body);
  arrive(title);
  const rates = [];
  while (!signal.aborted) {
    if (!paused && !document.hidden) {
      try {
        const found = await get("/v1/load", {}, signal);
        rates.push(found.events_per_second);
        if (rates.length > HISTORY) rates.shift();
        draw(body, found, rates);
        show(wrong);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Problem) || error.status === 401) throw error;
        if (!wrong.hasChildNodes()) show(wrong, alarm(error.message));
      }
      body.removeAttribute("aria-busy");
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function draw(body, found, rates) {
  const focused = document.activeElement?.getAttribute("href");
  const answering = found.shards.filter((one) => one.answers).length;
  const whole = answering === found.shards.length;
  show(body,
    h("dl", { class: "tiles" },
      tile("Events a second", h("span", { id: "rate" }, count(Math.round(found.events_per_second))), spark(rates, HISTORY), "wide"),
      tile("Lag", found.lag_seconds === null ? "unknown" : seconds(found.lag_seconds),
        found.behind === null ? "the log's end cannot be seen" : `${count(found.behind)} offsets behind the log`),
      tile("Shards", `${answering} of ${found.shards.length}`, whole ? "all answer" : "some do not answer", whole ? "" : "bad")),
    h("section", { class: "card", "aria-labelledby": "shards" }, h("h2", { id: "shards" }, "Shards"),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Shards" },
        h("table", {}, h("thead", {}, h("tr", {}, ["Shard", "Events/s", "Share", "Events", "Behind", "Lag"].map((one, at) =>
          h("th", { scope: "col", class: at ? "number" : null }, one)))), h("tbody", {}, found.shards.map(shard))))),
    h("section", { class: "card", "aria-labelledby": "hot" }, h("h2", { id: "hot" }, "Hot accounts"),
      found.hot.length ? h("ol", { class: "hot" }, found.hot.map((one) => hot(one, found)))
        : h("p", { class: "note" }, "The newest events of this log cannot be looked at, or there are none."),
      h("p", { class: "note" }, found.newest_events ? `Among the newest ${count(found.newest_events)} events of the log.` : "")),
    h("p", { class: "note" }, `As of ${found.at.slice(11, 19)} UTC, rates over ${found.seconds} s.`));
  if (focused) [...body.querySelectorAll("a")].find((one) => one.getAttribute("href") === focused)?.focus();
}

function tile(label, value, under, extra = "") {
  return h("div", { class: `tile ${extra}` }, h("dt", {}, label), h("dd", {}, value), h("dd", { class: "hint" }, under));
}

function shard(one) {
  const cells = one.answers
    ? [one.events_per_second === null ? "…" : count(Math.round(one.events_per_second)), gauge(one.share), count(one.events),
      one.behind === null ? "unknown" : count(one.behind), one.lag_seconds === null ? "unknown" : seconds(one.lag_seconds)]
    : ["does not answer", "", "", "", ""];
  return h("tr", { class: one.answers ? null : "bad" }, h("th", { scope: "row" }, one.shard),
    cells.map((cell) => h("td", { class: "number" }, cell)));
}

function gauge(share) {
  if (share === null) return "";
  return h("span", { class: "gauge" }, bar(share), h("span", {}, `${(100 * share).toFixed(0)} %`));
}

function hot(one, found) {
  return h("li", {}, h("a", { href: `#/account/${encodeURIComponent(one.account)}` }, one.account),
    h("span", { class: "where" }, one.shards.join(", ")),
    h("span", { class: "many" }, `${(100 * one.share).toFixed(1)} % · about ${count(Math.round(one.share * found.events_per_second))}/s`),
    bar(one.share));
}

function bar(share) {
  const inner = h("span", { class: "share" });
  inner.style.width = `${(100 * share).toFixed(2)}%`;
  return h("span", { class: "track" }, inner);
}
