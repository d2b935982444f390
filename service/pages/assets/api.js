// Every call of the API that the pages make: the key goes with it, and a refusal becomes an ApiError.

const KEY = "newtond-key";
const refused = new EventTarget();

/** A refusal: its problem document (RFC 9457). */
export class ApiError extends Error {
  constructor(problem) {
    super(problem.detail ?? problem.title);
    this.problem = problem;
    this.status = problem.status;
  }

  /** Whether the same call would be refused again: it is not that the service is away or failed. */
  get isFinal() {
    return this.status >= 400 && this.status < 500;
  }
}

/** Return the API key of this browser tab, if one was entered. */
export const key = () => sessionStorage.getItem(KEY);

/** Keep an API key until the tab is closed; an empty one is forgotten. */
export function keepKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

/** Have `listener` called when the service wants a key, or another one. */
export const onKeyWanted = (listener) => refused.addEventListener("key", listener);

/** Return the headers that every call carries. */
export function authorised(headers = {}) {
  return key() ? { ...headers, Authorization: `Bearer ${key()}` } : headers;
}

/** Return what a refusal says, whatever it is written in. */
export function problemOf(status, text) {
  try {
    const problem = JSON.parse(text);
    if (problem && typeof problem === "object") return { status, title: `Status ${status}`, ...problem };
  } catch {
    // not JSON: a proxy's page; its status says enough
  }
  return { status, title: `Status ${status}`, detail: `The server answered with status ${status}.` };
}

const silence = () => {
  throw new ApiError({ status: 0, title: "No answer", detail: "The service does not answer." });
};

/** Return the response to a call; throws ApiError where it is a refusal, or where nothing answers. */
export async function request(path, { headers, ...options } = {}) {
  const response = await fetch(path, { ...options, headers: authorised(headers), cache: "no-store" }).catch(silence);
  if (response.status === 401) refused.dispatchEvent(new Event("key"));
  if (!response.ok && response.status !== 304) throw new ApiError(problemOf(response.status, await response.text()));
  return response;
}

/** Return the JSON of an answer. */
export async function getJson(path, options = {}) {
  const response = await request(path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  return response.json();
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Make a call again while the service is away; what it refuses is thrown. */
export async function patiently(call) {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (error instanceof ApiError && error.isFinal) throw error;
      await pause(1500);
    }
  }
}

/** Send JSON and return the response. */
export function sendJson(path, body, options = {}) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  return request(path, { method: "POST", body: JSON.stringify(body), ...options, headers: { ...headers, ...options.headers } });
}

/** Send a file with progress, which fetch does not tell; returns the JSON of the answer. */
export function upload(path, file, headers, progress) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", path);
    for (const [name, value] of Object.entries(authorised(headers))) call.setRequestHeader(name, value);
    call.upload.addEventListener("progress", (event) => progress(event.loaded, event.total));
    call.addEventListener("error", () => reject(new ApiError({ status: 0, title: "Not sent", detail: "The connection broke." })));
    call.addEventListener("load", () => {
      if (call.status === 401) refused.dispatchEvent(new Event("key"));
      if (call.status < 300) resolve(JSON.parse(call.responseText));
      else reject(new ApiError(problemOf(call.status, call.responseText)));
    });
    call.send(file);
  });
}

/** Save an answer as a file: a plain link can carry neither the key nor the Accept header. */
export async function download(path, accept, name) {
  const response = await request(path, { headers: { Accept: accept } });
  save(await response.blob(), name);
}

/** Save what the page holds as a file. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
