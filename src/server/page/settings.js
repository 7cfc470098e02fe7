// SPDX-License-Identifier: Apache-2.0
// settings.js: sampling settings, the system prompt and the key. A field that is empty is not sent: the server's default holds.

import { $, el, icon, store } from "./dom.js";
import { key } from "./server.js";

const FIELDS = [
  { name: "temperature", label: "Temperature", hint: "0 is always the likeliest token", min: 0, max: 2, step: 0.05, slider: true },
  { name: "top_p", label: "Top p", hint: "the likeliest tokens that make up this share", min: 0.01, max: 1, step: 0.01, slider: true },
  { name: "top_k", label: "Top k", hint: "only so many of the likeliest", min: 0, max: 1000, step: 1 },
  { name: "min_p", label: "Min p", hint: "at least this share of the likeliest token", min: 0, max: 1, step: 0.01 },
  { name: "max_tokens", label: "Longest answer", hint: "tokens", min: 1, max: 1048576, step: 1 },
  { name: "repetition_penalty", label: "Repetition penalty", hint: "above 1: fewer repetitions", min: 0.01, max: 2, step: 0.01 },
  { name: "presence_penalty", label: "Presence penalty", hint: "for tokens that were there", min: -2, max: 2, step: 0.1 },
  { name: "frequency_penalty", label: "Frequency penalty", hint: "for each time they were", min: -2, max: 2, step: 0.1 },
  { name: "seed", label: "Seed", hint: "the same answer for the same seed", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
];
const SHORT = { temperature: "temp", top_p: "top p", top_k: "top k", min_p: "min p", max_tokens: "max" };

let values = store.get("sampling", {});
if (typeof values !== "object" || values === null) values = {};
let onChange = () => {};

/** Fields of a request. */
export function sampling() {
  const fields = {};
  for (const field of FIELDS) if (typeof values[field.name] === "number") fields[field.name] = values[field.name];
  if (Array.isArray(values.stop) && values.stop.length > 0) fields.stop = values.stop;
  return fields;
}

export function summary() {
  const parts = Object.entries(sampling()).filter(([name]) => name in SHORT).map(([name, value]) => `${SHORT[name]} ${value}`);
  return parts.length > 0 ? parts.slice(0, 3).join(" · ") : Object.keys(sampling()).length > 0 ? "Own settings" : "Server defaults";
}

function change(name, value) {
  if (value === undefined) delete values[name]; else values[name] = value;
  store.set("sampling", values);
  onChange();
}

function fieldRow(field) {
  const id = "set-" + field.name, value = values[field.name];
  const number = el("input", { type: "number", id, min: field.min, max: field.max, step: field.step === 1 ? 1 : "any", placeholder: "default", inputmode: "decimal", value });
  const slider = field.slider ? el("input", { type: "range", min: field.min, max: field.max, step: field.step, "aria-label": field.label, class: value === undefined ? "unset" : null, value: value ?? 1 }) : null;
  const take = text => {
    const parsed = text === "" ? undefined : Number(text);
    const isRight = parsed === undefined || (parsed >= field.min && parsed <= field.max && (field.step !== 1 || Number.isInteger(parsed)));
    number.setCustomValidity(isRight ? "" : `from ${field.min} to ${field.max}`);
    number.reportValidity();
    if (!isRight) return;
    if (slider) slider.classList.toggle("unset", parsed === undefined);
    change(field.name, parsed);
  };
  number.addEventListener("input", () => { take(number.value); if (slider && number.value !== "") slider.value = number.value; });
  if (slider) slider.addEventListener("input", () => { number.value = slider.value; take(slider.value); });
  return el("div", { class: "field" }, el("label", { for: id }, field.label), el("small", null, field.hint), number, slider);
}

/** Opens the sheet. chat: { get, set } of the system prompt. */
export function openSettings(system, focus) {
  const dialog = $("settings");
  const prompt = el("textarea", { id: "set-system", placeholder: "You are a helpful assistant …", maxlength: 200000 });
  prompt.value = system.get();
  prompt.addEventListener("input", () => system.set(prompt.value));
  const stop = el("textarea", { id: "set-stop", placeholder: "one a line" });
  stop.value = (values.stop || []).join("\n");
  stop.addEventListener("input", () => { const lines = stop.value.split("\n").filter(line => line !== ""); change("stop", lines.length > 0 ? lines : undefined); });
  const secret = el("input", { type: "password", id: "set-key", placeholder: "if the server asks for one", autocomplete: "off" });
  secret.value = key.get();
  secret.addEventListener("change", () => { key.set(secret.value.trim()); onChange(); });
  dialog.replaceChildren(
    el("header", null, el("h2", { id: "settings-title" }, "Settings"),
      el("button", { type: "button", class: "icon", "aria-label": "Close", click: () => dialog.close() }, icon("close"))),
    el("form", { method: "dialog", submit: event => { event.preventDefault(); secret.dispatchEvent(new Event("change")); dialog.close(); } },
      el("fieldset", null, el("legend", null, el("label", { for: "set-system" }, "System prompt")), el("p", { class: "hint" }, "Of this chat, and of new ones."), prompt),
      el("fieldset", null, el("legend", null, "Sampling"), el("p", { class: "hint" }, "An empty field leaves it to the server."), ...FIELDS.map(fieldRow)),
      el("fieldset", null, el("legend", null, el("label", { for: "set-stop" }, "Stop strings")), stop),
      el("fieldset", null, el("legend", null, el("label", { for: "set-key" }, "API key")), el("p", { class: "hint" }, "Forgotten when this tab closes."), secret),
      el("div", { class: "end" },
        el("button", { type: "button", class: "button", click: () => { values = {}; store.set("sampling", values); onChange(); openSettings(system); } }, "Server defaults"),
        el("button", { type: "submit", class: "button main-button" }, "Done"))));
  if (!dialog.open) dialog.showModal();
  (focus === "system" ? prompt : focus === "key" ? secret : dialog.querySelector("input[type=number]")).focus();
}

export function initSettings(changed) {
  onChange = changed;
  $("settings").addEventListener("click", event => { if (event.target === $("settings")) $("settings").close(); });
}
