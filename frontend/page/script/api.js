// Calls of this server's API, with the API key where there is one.

const KEY = "tritonreel-api-key"; // of this tab alone: sessionStorage forgets it with the tab
const LONG_SEED = /"seed":\s*(\d{16,})/g; // JavaScript's numbers would round these
const QUOTED_SEED = /"seed":"(\d+)"/g;

/** What the server answered instead of what was asked for. */
export class ApiError extends Error {
  constructor(status, { message, param = null, code = null }) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

/** Told when a call was answered with 401, and when there is a new key. */
export const keyEvents = new EventTarget();

export function hasKey() {
  return Boolean(sessionStorage.getItem(KEY));
}

export function setKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
  keyEvents.dispatchEvent(new Event("changed"));
}

/** JSON in which a seed may be text, so that none of its digits is lost; in what is sent it is a number again. */
export function parseJson(text) {
  return JSON.parse(text.replace(LONG_SEED, '"seed":"$1"'));
}

export function writeJson(value, indent) {
  const text = JSON.stringify(value, null, indent);
  return text.replace(indent ? /"seed": "(\d+)"/g : QUOTED_SEED, indent ? '"seed": $1' : '"seed":$1');
}

/** The response. Throws ApiError: for an answer that is no success, or for none. */
export async function call(path, { method = "GET", body = null, headers = {}, signal = null } = {}) {
  const key = sessionStorage.getItem(KEY);
  const sent = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
  let response;
  try {
    response = await fetch(path, { method, body, headers: sent, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The server cannot be reached." });
  }
  if (response.ok) return response;
  if (response.status === 401) keyEvents.dispatchEvent(new Event("asked"));
  throw new ApiError(response.status, await errorOf(response));
}

/** What the JSON of the answer says. */
export async function get(path, options) {
  return parseJson(await (await call(path, options)).text());
}

/** Path and query of a URL of this server, however it is called from outside (TRITONREEL_PUBLIC_URL). */
export function pathOf(url) {
  if (!url) return null;
  const parsed = new URL(url, location.href);
  return parsed.protocol === "data:" ? url : parsed.pathname + parsed.search;
}

async function errorOf(response) {
  try {
    const { error } = await response.json();
    return typeof error === "string" ? { message: error } : { ...error };
  } catch {
    return { message: `The server answered with status ${response.status}.` };
  }
}
