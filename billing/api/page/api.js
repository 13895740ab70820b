// The API as the page asks it: with the key that a person typed in, which lives as long as the tab.

const KEY = "billing.key";
const SECONDS_MAX = 20;

/** An answer that is none: status as HTTP has it, 0 where there was no answer; message: a sentence to show. */
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

/** Whether callers need a key here. */
export const keysNeeded = document.documentElement.dataset.keys !== "none";

/** Get an answer of the API. Query: values that are undefined or empty are left out. Throws Problem. */
export async function get(path, query = {}, signal = undefined) {
  const asked = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const target = asked.length ? `${path}?${new URLSearchParams(asked)}` : path;
  const headers = key.get() ? { authorization: `Bearer ${key.get()}` } : {};
  const limit = AbortSignal.timeout(SECONDS_MAX * 1000);
  let response;
  try {
    response = await fetch(target, { headers, signal: signal ? AbortSignal.any([signal, limit]) : limit });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "The server does not answer. It is tried again when you ask again.");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  throw new Problem(response.status, sentence(response, body));
}

/** The path of something of an account. */
export function of(account, what) {
  return `/v1/accounts/${encodeURIComponent(account)}/${what}`;
}

function sentence(response, body) {
  const detail = typeof body?.detail === "string" ? body.detail : "";
  const wait = response.headers.get("retry-after");
  const after = wait ? ` Try again in ${wait} s.` : "";
  switch (response.status) {
    case 401:
      return `This key opens nothing here: ${detail || "it is not known"}.`;
    case 403:
      return `This key may not do that: ${detail}.`;
    case 429:
      return `Too many questions at once.${after}`;
    case 503:
      return `${upper(detail || "not available now")}.${after}`;
    case 504:
      return `That ${detail || "took too long"}.`;
    default:
      return `${upper(detail || `the server answered ${response.status}`)}.`;
  }
}

function upper(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
