// The page: which view its address asks for, who is looking, and what happens when the key opens nothing.

import { account } from "./account.js";
import { Problem, get, key, keysNeeded } from "./api.js";
import { alarm, arrive, h, say, show } from "./dom.js";
import { operators } from "./operators.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const who = document.getElementById("who");
let caller = null; // who the key says is looking
let leaving = new AbortController(); // of the view that is shown

/** The address: #/account/ID?every=day, #/operators, or nothing. */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", name = ""] = path.split("/");
  return { view, name: decoded(name), state: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function go(name) {
  return (state) => {
    const query = new URLSearchParams(state).toString();
    const next = `#/account/${encodeURIComponent(name)}${query ? `?${query}` : ""}`;
    if (location.hash === next) route();
    else location.hash = next;
  };
}

async function route() {
  leaving.abort();
  leaving = new AbortController();
  const { view, name, state } = address();
  try {
    if (caller === null) {
      if (keysNeeded && !key.get()) return askForKey();
      caller = await get("/v1/caller");
    }
    frame(view);
    document.title = view === "operators" ? "Operators · Billing" : name ? `${name} · Billing` : "Billing";
    if (view === "account" && name) await account(main, name, state, go(name));
    else if (view === "operators") await operators(main, leaving.signal);
    else search();
  } catch (error) {
    if (leaving.signal.aborted && !(error instanceof Problem)) return;
    if (error instanceof Problem && error.status === 401) {
      forget(error.message);
    } else {
      show(main, alarm(error instanceof Problem ? error.message : "The page has a defect here; load it again."));
      if (!(error instanceof Problem)) throw error;
    }
  }
}

function frame(view) {
  const link = (to, text, is) => h("a", { href: to, "aria-current": is ? "page" : null }, text);
  show(nav, link("#/", "Accounts", view !== "operators"),
    caller.scopes.includes("operator") ? link("#/operators", "Operators", view === "operators") : null);
  show(who, keysNeeded ? h("button", { type: "button", class: "quiet", onclick: () => forget("") }, "Forget key") : null);
}

function forget(why) {
  key.forget();
  caller = null;
  show(nav);
  show(who);
  askForKey(why);
}

function askForKey(why = "") {
  document.title = "Billing";
  const field = h("input", { id: "key", type: "password", required: true, autocomplete: "off", spellcheck: "false",
    "aria-describedby": "key-hint" });
  const form = h("form", { onsubmit: (event) => {
    event.preventDefault();
    if (!field.value.trim()) return;
    key.set(field.value.trim());
    route();
  } },
  h("label", { for: "key" }, "API key"), field, h("button", { type: "submit" }, "Open"),
  h("p", { class: "note", id: "key-hint" }, "It is kept in this tab only, and forgotten when the tab is closed. An operator makes one with ",
    h("code", {}, "billing keys create"), "."));
  show(main, h("section", { class: "card narrow" }, h("h1", {}, "What was billed, exactly"),
    h("p", {}, "Balances, usage and every charge with its reason, seconds after the event."), why ? alarm(why) : null, form));
  arrive(field);
  field.focus();
}

function search() {
  const known = caller.accounts.filter((one) => !one.endsWith("*"));
  const field = h("input", { id: "account", required: true, maxlength: "64", autocomplete: "off", autocapitalize: "none",
    spellcheck: "false", list: known.length ? "known" : null });
  const form = h("form", { onsubmit: (event) => {
    event.preventDefault();
    if (field.value.trim()) go(field.value.trim())({});
  } },
  h("label", { for: "account" }, "Account"), field,
  known.length ? h("datalist", { id: "known" }, known.map((one) => h("option", { value: one }))) : null,
  h("button", { type: "submit" }, "Look up"));
  show(main, h("section", { class: "card narrow" }, h("h1", {}, "Look up an account"), form,
    known.length ? h("ul", { class: "known", "aria-label": "Accounts of this key" }, known.slice(0, 50).map((one) =>
      h("li", {}, h("a", { href: `#/account/${encodeURIComponent(one)}` }, one)))) : null));
  field.focus();
  say("Ready.");
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which view is shown
  main.focus();
});
addEventListener("hashchange", route);
route();
