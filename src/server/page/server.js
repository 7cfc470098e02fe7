// SPDX-License-Identifier: Apache-2.0
// server.js: what this page asks of the server that it came from.

export class ServerError extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export const key = {
  get: () => { try { return sessionStorage.getItem("tenon.key") || ""; } catch { return ""; } },
  set: value => { try { sessionStorage.setItem("tenon.key", value); } catch { /* kept for no longer than this page */ } },
};

function headers() {
  return key.get() === "" ? {} : { Authorization: "Bearer " + key.get() };
}

async function fail(response) {
  let message = `The server answered ${response.status}.`;
  try {
    const body = await response.json();
    message = (typeof body.error === "string" ? body.error : body.error && body.error.message) || message;
  } catch { /* no JSON: the status says it */ }
  throw new ServerError(response.status, message);
}

export async function ask(path) {
  const response = await fetch(path, { headers: headers(), cache: "no-store" });
  if (!response.ok) await fail(response);
  return response.headers.get("content-type").startsWith("application/json") ? response.json() : response.text();
}

/** Each event's data of a stream of server-sent events. */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    // a CR at the end may be half of a line's end
    const lines = (rest.endsWith("\r") ? rest.slice(0, -1) : rest).split(/\r\n|\n|\r/);
    rest = lines.pop() + (rest.endsWith("\r") ? "\r" : "");
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line === "" && data.length > 0) { yield data.join("\n"); data = []; }
    }
  }
}

/** The chunks of a chat completion as they come. */
export async function* chat(body, signal) {
  const response = await fetch("/v1/chat/completions", { method: "POST", signal, headers: { "Content-Type": "application/json", ...headers() },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }) });
  if (!response.ok) await fail(response);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(200, chunk.error.message || "The server reported an error in the stream.");
    yield chunk;
  }
  throw new ServerError(200, "The connection closed before the answer's end.");
}
