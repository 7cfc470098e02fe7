// SPDX-License-Identifier: Apache-2.0
// app.js: the page comes together: models, views, colours, keys.

import { $, el, icon, store } from "./dom.js";
import { ask as askServer } from "./server.js";
import { initSettings, openSettings, summary } from "./settings.js";
import { ask, editLast, grow, initChat, isRunning, jump, newChat, regenerate, scrollDown, stop, system } from "./chat.js";
import { showStatus } from "./status.js";

const IDEAS = [
  ["Explain an idea", "how a mortise and tenon joint holds without glue", "Explain to a beginner how a mortise and tenon joint holds without glue."],
  ["Write some code", "a Python function that finds duplicate files", "Write a Python function that finds duplicate files in a folder by their content, with a short example."],
  ["Compare in a table", "three ways to store dates in a database", "Compare three ways to store dates in a database, as a table with advantages and pitfalls."],
  ["Plan something", "a weekend in the mountains, with a packing list", "Plan a weekend in the mountains for two, with a packing list."],
];
const THEMES = [["auto", "System colours", "auto"], ["light", "Light", "sun"], ["dark", "Dark", "moon"]];

// --- server ------------------------------------------------------------------------------------------------------------------

function alertUser(text) {
  $("alert").hidden = !text;
  $("alert").textContent = text || "";
}

async function loadModels() {
  const select = $("model");
  try {
    const models = (await askServer("/v1/models")).data.map(model => model.id), chosen = store.get("model", "");
    select.replaceChildren(...models.map(id => el("option", { value: id, selected: id === chosen }, id)));
    select.disabled = models.length < 2;
    $("hello-model").textContent = models.length === 1 ? `${models[0]} answers on this machine.` : "Choose a model above.";
    alertUser("");
  } catch (error) {
    if (error.status === 401) openSettings(system, "key");
    alertUser(error.message || "The server cannot be reached.");
  }
}

async function checkReady() {
  let state = "bad", title = "The server cannot be reached";
  try {
    const response = await fetch("/ready", { cache: "no-store" });
    state = response.ok ? "ok" : "bad";
    title = response.ok ? "Ready" : "Not ready";
  } catch { /* as it stands */ }
  $("ready-dot").className = "dot " + state;
  $("ready-dot").title = title;
}

async function loadVersion() {
  try { $("version").textContent = "Tenon " + (await askServer("/version")).version; } catch { $("version").textContent = ""; }
}

// --- views -------------------------------------------------------------------------------------------------------------------

function show(view) {
  for (const name of ["chat", "status"]) {
    $("view-" + name).hidden = name !== view;
    $("tab-" + name).setAttribute("aria-selected", String(name === view));
  }
  showStatus(view === "status");
  if (view === "chat") { scrollDown(); $("composer-text").focus(); }
  const place = view === "status" ? "#status" : "#";
  if (location.hash !== place && !(place === "#" && location.hash === "")) history.replaceState(null, "", place);
}

function setTheme(step) {
  const now = THEMES.findIndex(([name]) => name === (document.documentElement.dataset.theme || "auto")), [name, label, symbol] = THEMES[(now + step) % THEMES.length];
  if (name === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  try { if (step > 0) localStorage.setItem("tenon.theme", name); } catch { /* not kept */ }
  $("theme-button").replaceChildren(icon(symbol), el("span", null, label));
}

function update() {
  const field = $("composer-text"), send = $("send"), running = isRunning();
  send.classList.toggle("stop", running);
  send.disabled = !running && field.value.trim() === "";
  send.setAttribute("aria-label", running ? "Stop" : "Send");
  send.title = running ? "Stop (Esc)" : "Send (Enter)";
  send.replaceChildren(icon(running ? "stop" : "send"));
  field.placeholder = $("model").value ? `Message ${$("model").value}` : "Message";
  $("sampling-chip").textContent = summary();
  const prompt = system.get().trim().replace(/\s+/g, " ");
  $("system-chip").textContent = prompt === "" ? "System prompt" : prompt;
  $("system-chip").parentElement.classList.toggle("set", prompt !== "");
}

function submit() {
  const field = $("composer-text"), text = field.value.trim();
  if (isRunning()) { stop(); return; }
  if (text === "") return;
  field.value = "";
  grow(field);
  alertUser("");
  ask(text);
}

// --- keys and clicks ---------------------------------------------------------------------------------------------------------

const DO = {
  "new-chat": () => { document.body.classList.remove("side-open"); show("chat"); newChat(); },
  "settings": () => openSettings(system),
  "system": () => openSettings(system, "system"),
  "shortcuts": () => $("shortcuts").showModal(),
  "theme": () => setTheme(1),
  "open-side": () => document.body.classList.add("side-open"),
  "close-side": () => document.body.classList.remove("side-open"),
  "close-dialog": event => event.target.closest("dialog").close(),
  "view-chat": () => show("chat"),
  "view-status": () => show("status"),
  "jump": jump,
};
const ALT = { n: "new-chat", s: "settings", 1: "view-chat", 2: "view-status" };

function pressed(event) {
  const field = $("composer-text"), isTyping = event.target.matches("input, textarea, select");
  if (event.key === "Escape" && !event.target.closest("dialog")) {
    if (document.body.classList.contains("side-open")) document.body.classList.remove("side-open"); else if (isRunning()) stop(); else return;
  } else if (event.altKey && !event.ctrlKey && !event.metaKey && event.key in ALT) DO[ALT[event.key]](event);
  else if (event.altKey && event.key === "r") regenerate();
  else if (document.querySelector("dialog[open]")) return;
  else if (event.target === field && event.key === "Enter" && !event.shiftKey && !event.isComposing) { if (!isRunning()) submit(); }
  else if (event.target === field && event.key === "ArrowUp" && field.value === "") editLast();
  else if (!isTyping && event.key === "/") { show("chat"); field.focus(); }
  else if (!isTyping && event.key === "?") DO.shortcuts();
  else return;
  event.preventDefault();
}

function start() {
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-do]");
    if (button) DO[button.dataset.do](event);
  });
  document.addEventListener("keydown", pressed);
  $("composer").addEventListener("submit", event => { event.preventDefault(); submit(); });
  $("composer-text").addEventListener("input", () => { grow($("composer-text")); update(); });
  $("model").addEventListener("change", () => { store.set("model", $("model").value); update(); });
  $("shortcuts").addEventListener("click", event => { if (event.target === $("shortcuts")) $("shortcuts").close(); });
  $("ideas").append(...IDEAS.map(([title, hint, text]) => el("button", { type: "button", click: () => ask(text) }, el("b", null, title), el("span", null, hint))));
  window.addEventListener("resize", () => grow($("composer-text")));
  window.addEventListener("hashchange", () => show(location.hash === "#status" ? "status" : "chat"));
  setTheme(0);
  initSettings(() => { update(); if ($("model").options.length === 0) loadModels().then(update); });
  initChat({ model: () => $("model").value, failed: error => { if (error.status === 401) openSettings(system, "key"); }, changed: update });
  show(location.hash === "#status" ? "status" : "chat");
  loadModels().then(update);
  loadVersion();
  checkReady();
  setInterval(() => { if (!document.hidden) checkReady(); }, 15000);
  document.documentElement.dataset.started = "yes";
}

start();
