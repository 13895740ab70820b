// Figures: amounts are the API's own texts, shown as they are; compared and added as integers of 1e-12, never as floats.

import { h } from "./dom.js";

const PLACES = 12;
const SHOWN_PLACES = 2;

/** Read a decimal of the API as an integer of 1e-12. */
export function pico(text) {
  const [whole, part = ""] = text.replace("-", "").split(".");
  const value = BigInt(whole + part.padEnd(PLACES, "0").slice(0, PLACES));
  return text.startsWith("-") ? -value : value;
}

/** How large one is beside another, 0 to 1, for drawing only. */
export function part(value, most) {
  return most === 0n ? 0 : Number((value * 100000n) / most) / 100000;
}

/** An amount, every digit of it; zeros that end it are dim, and stay part of the text. */
export function amount(text, currency = "") {
  const [whole, places = ""] = text.split(".");
  const kept = Math.max(places.replace(/0+$/, "").length, Math.min(SHOWN_PLACES, places.length));
  return h(
    "span",
    { class: text.startsWith("-") ? "amount minus" : "amount" },
    places ? `${whole}.${places.slice(0, kept)}` : whole,
    kept < places.length ? h("span", { class: "dim" }, places.slice(kept)) : null,
    currency ? h("span", { class: "unit" }, ` ${currency}`) : null,
  );
}

/** A quantity or another decimal, without the zeros that end it. */
export function plain(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** A count, with commas. */
export function count(number) {
  return number.toLocaleString("en-US");
}

/** Seconds in words. */
export function seconds(number) {
  if (number < 1) return number === 0 ? "0 s" : "under 1 s";
  if (number < 120) return `${Math.round(number)} s`;
  return number < 7200 ? `${Math.round(number / 60)} min` : `${Math.round(number / 3600)} h`;
}

/** A moment of the API in UTC, as a person reads it. */
export function moment(text) {
  return text ? `${text.slice(0, 10)} ${text.slice(11, 19)}` : "never";
}
