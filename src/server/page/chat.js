// SPDX-License-Identifier: Apache-2.0
// chat.js: conversations, and the view of one of them.
//
// A chat is { id, title, time, system, messages }; a message is { role: "user", text } or { role: "assistant", versions, at }, a
// version { text, thought, problem, stopped, tokens, seconds, wait }. Chats are kept in this browser only.

import { $, el, icon, iconButton, store } from "./dom.js";
import { updateMarkdown } from "./markdown.js";
import { ServerError, chat as complete } from "./server.js";
import { sampling } from "./settings.js";

const MAX_CHATS = 200;
let chats = store.get("chats", []).filter(chat => chat && Array.isArray(chat.messages));
let current = null, running = null, follows = true;
let hooks = { model: () => "", failed: () => {}, changed: () => {} };

const newId = () => Date.now().toString(36) + Math.random().toString(36).slice(2, 8);
const versionOf = message => message.versions[message.at];

// --- keeping -----------------------------------------------------------------------------------------------------------------

function save() {
  const kept = chats.filter(chat => chat.messages.length > 0).slice(0, MAX_CHATS);
  while (kept.length > 0 && !store.set("chats", kept)) kept.pop(); // full: the oldest go
}

export const system = {
  get: () => current.system || "",
  set: text => { current.system = text; store.set("system", text); save(); drawSystem(); hooks.changed(); },
};

export function newChat() {
  stop();
  current = { id: newId(), title: "", time: Date.now(), system: store.get("system", ""), messages: [] };
  draw();
  $("composer-text").focus();
}

function open(chat) {
  stop();
  current = chat;
  draw();
}

function remove(chat) {
  chats = chats.filter(other => other !== chat);
  save();
  if (chat === current) newChat(); else drawList();
}

function drawList() {
  const items = [], day = 86400000, today = new Date().setHours(0, 0, 0, 0);
  let label = "";
  for (const chat of chats) {
    const name = chat.time >= today ? "Today" : chat.time >= today - day ? "Yesterday" : chat.time >= today - 7 * day ? "Last 7 days" : "Earlier";
    if (name !== label) items.push(el("li", { class: "day" }, label = name));
    items.push(el("li", { class: chat === current ? "on" : null },
      el("button", { type: "button", class: "open", "aria-current": chat === current ? "true" : null, click: () => { open(chat); document.body.classList.remove("side-open"); } }, el("span", null, chat.title || "New chat")),
      iconButton("trash", "Delete this chat", () => remove(chat))));
  }
  $("chats").replaceChildren(...items);
}

// --- messages ----------------------------------------------------------------------------------------------------------------

function statsText(version) {
  const parts = [];
  if (version.tokens > 0) parts.push(`${version.tokens} token${version.tokens === 1 ? "" : "s"}`);
  if (version.tokens > 1 && version.seconds > 0) parts.push(`${((version.tokens - 1) / version.seconds).toFixed(1)} tok/s`);
  if (version.wait > 0) parts.push(`first after ${version.wait < 1 ? (version.wait * 1000).toFixed(0) + " ms" : version.wait.toFixed(1) + " s"}`);
  return parts.join(" · ");
}

async function copy(text, button) {
  try { await navigator.clipboard.writeText(text); } catch { return; }
  button.replaceChildren(icon("check"));
  setTimeout(() => button.replaceChildren(icon("copy")), 1500);
}

function copyButton(text) {
  const button = iconButton("copy", "Copy", () => copy(text(), button));
  return button;
}

function userMessage(message, index) {
  const node = el("article", { class: "message user", "aria-label": "You" }, el("div", { class: "text" }, message.text));
  node.append(el("div", { class: "actions" }, iconButton("edit", "Edit", () => edit(index)), copyButton(() => message.text)));
  return node;
}

/** Qwen and others think aloud in <think> tags where the server does not take them out. */
function parts(version) {
  if (version.thought) return [version.thought, version.text];
  const match = /^\s*<think>([^]*?)(?:<\/think>([^]*)|$)/.exec(version.text);
  return match ? [match[1].trim(), (match[2] || "").trimStart()] : ["", version.text];
}

function fillAnswer(body, version, isGrowing) {
  const [thought, text] = parts(version);
  let [thinking, markdown] = [body.querySelector(".thought"), body.querySelector(":scope > .markdown")];
  if (!markdown) body.append(markdown = el("div", { class: "markdown" }));
  if (thought !== "" && !thinking) {
    thinking = el("details", { class: "thought" }, el("summary", null, "Thoughts"), el("div", { class: "markdown" }));
    body.prepend(thinking);
  }
  if (thinking) updateMarkdown(thinking.querySelector(".markdown"), thought);
  updateMarkdown(markdown, text);
  markdown.classList.toggle("growing", isGrowing);
  const isWaiting = isGrowing && version.text === "" && !version.thought;
  let dots = body.querySelector(".waiting");
  if (isWaiting && !dots) body.append(el("div", { class: "waiting", "aria-label": "Waiting for the first token" }, el("i"), el("i"), el("i")));
  if (!isWaiting && dots) dots.remove();
}

function assistantMessage(message, index) {
  const version = versionOf(message), isGrowing = running !== null && running.version === version, isLast = index === current.messages.length - 1;
  const body = el("div", { class: "body" });
  fillAnswer(body, version, isGrowing);
  if (version.problem) body.append(el("p", { class: "problem", role: "alert" }, version.problem));
  if (version.stopped) body.append(el("p", { class: "stopped" }, version.stopped));
  const actions = el("div", { class: "actions" });
  if (!isGrowing) {
    if (message.versions.length > 1) {
      const turn = step => { message.at += step; save(); draw(); };
      const left = iconButton("left", "The answer before", () => turn(-1)), right = iconButton("right", "The next answer", () => turn(1));
      left.disabled = message.at === 0;
      right.disabled = message.at === message.versions.length - 1;
      actions.append(el("span", { class: "versions" }, left, `${message.at + 1}/${message.versions.length}`, right));
    }
    actions.append(copyButton(() => parts(version)[1]));
    if (isLast) actions.append(iconButton("again", "Answer again", () => regenerate()));
    actions.append(el("span", { class: "stats" }, statsText(version)));
  }
  body.append(actions);
  return el("article", { class: "message assistant", "aria-label": "Answer", "aria-busy": isGrowing ? "true" : null }, icon("logo"), body);
}

function drawSystem() {
  const old = $("transcript").querySelector(".system"), text = system.get().trim();
  if (old) old.remove();
  if (text !== "" && current.messages.length > 0)
    $("transcript").prepend(el("div", { class: "message system" }, el("p", { class: "who" }, "System prompt"), el("div", { class: "text" }, text)));
}

function draw() {
  const view = $("transcript");
  view.replaceChildren(...current.messages.map((message, index) => message.role === "user" ? userMessage(message, index) : assistantMessage(message, index)));
  $("hello").hidden = current.messages.length > 0;
  view.hidden = current.messages.length === 0;
  document.title = (current.title ? current.title + " · " : "") + "Tenon";
  drawSystem();
  drawList();
  hooks.changed();
  follows = true;
  scrollDown();
}

function edit(index) {
  if (running) return;
  const message = current.messages[index], node = $("transcript").querySelectorAll(".message:not(.system)")[index];
  const field = el("textarea", { class: "editor", "aria-label": "Edit the message" });
  field.value = message.text;
  const send = () => {
    const text = field.value.trim();
    if (text === "") return;
    current.messages.splice(index);
    ask(text);
  };
  field.addEventListener("keydown", event => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
    if (event.key === "Escape") { event.stopPropagation(); draw(); $("composer-text").focus(); }
  });
  field.addEventListener("input", () => grow(field));
  node.classList.add("editing");
  node.replaceChildren(field, el("div", { class: "editor-row" }, el("button", { type: "button", class: "button", click: () => draw() }, "Cancel"),
    el("button", { type: "button", class: "button main-button", click: send }, "Send")));
  grow(field);
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

export function editLast() {
  const index = current.messages.findLastIndex(message => message.role === "user");
  if (index >= 0) edit(index);
}

export function grow(field) {
  field.style.height = "auto";
  field.style.height = field.scrollHeight + "px";
}

// --- scrolling ---------------------------------------------------------------------------------------------------------------

export function scrollDown() {
  const view = $("scroll");
  if (follows) view.scrollTop = view.scrollHeight;
  $("jump").hidden = follows;
}

export function jump() { follows = true; scrollDown(); }

// --- answers -----------------------------------------------------------------------------------------------------------------

function requestBody(messages) {
  const sent = messages.map(message => message.role === "user" ? { role: "user", content: message.text } : { role: "assistant", content: parts(versionOf(message))[1] });
  if (system.get().trim() !== "") sent.unshift({ role: "system", content: system.get() });
  return { model: hooks.model(), messages: sent, ...sampling() };
}

function take(version, chunk, times) {
  const choice = chunk.choices && chunk.choices[0], delta = choice && choice.delta;
  if (delta && (delta.content || delta.reasoning_content)) {
    const now = performance.now();
    if (times.first === 0) times.first = now;
    times.last = now;
    times.chunks++;
    version.text += delta.content || "";
    if (delta.reasoning_content) version.thought = (version.thought || "") + delta.reasoning_content;
  }
  if (choice && choice.finish_reason === "length") version.stopped = "The answer reached its longest length.";
  if (chunk.usage) version.tokens = chunk.usage.completion_tokens;
}

async function answer() {
  const message = current.messages.at(-1), version = versionOf(message), chat = current, abort = new AbortController();
  const times = { begin: performance.now(), first: 0, last: 0, chunks: 0 };
  running = { abort, version };
  follows = true;
  draw();
  const body = () => $("transcript").lastElementChild.querySelector(".body");
  let frame = 0;
  const show = () => {
    frame = 0;
    if (current !== chat || running === null || running.version !== version) return;
    fillAnswer(body(), version, true);
    const seconds = (times.last - times.first) / 1000;
    $("live").textContent = times.chunks > 1 && seconds > 0 ? `${((times.chunks - 1) / seconds).toFixed(1)} tok/s` : "";
    scrollDown();
  };
  try {
    for await (const chunk of complete(requestBody(chat.messages.slice(0, -1)), abort.signal)) {
      take(version, chunk, times);
      if (frame === 0) frame = requestAnimationFrame(show);
    }
  } catch (error) {
    if (abort.signal.aborted) version.stopped = "Stopped.";
    else { version.problem = error instanceof ServerError ? error.message : `The connection to the server was lost (${error.message}).`; hooks.failed(error); }
  }
  if (frame !== 0) cancelAnimationFrame(frame);
  if (version.tokens === undefined) version.tokens = times.chunks;
  version.seconds = (times.last - times.first) / 1000;
  version.wait = times.first > 0 ? (times.first - times.begin) / 1000 : 0;
  if (running !== null && running.version === version) running = null;
  $("live").textContent = "";
  save();
  if (current === chat) { const at = $("scroll").scrollTop, followed = follows; draw(); if (!followed) { follows = false; $("scroll").scrollTop = at; scrollDown(); } }
}

export function ask(text) {
  if (running) return;
  if (current.messages.length === 0) current.title = text.replace(/\s+/g, " ").slice(0, 60);
  current.time = Date.now();
  current.messages.push({ role: "user", text }, { role: "assistant", versions: [{ text: "" }], at: 0 });
  chats = [current, ...chats.filter(chat => chat !== current)];
  save();
  answer();
}

export function regenerate() {
  const last = current.messages.at(-1);
  if (running || !last || last.role !== "assistant") return;
  last.versions.push({ text: "" });
  last.at = last.versions.length - 1;
  answer();
}

export function stop() { if (running) running.abort.abort(); }
export const isRunning = () => running !== null;

export function initChat(given) {
  hooks = given;
  $("scroll").addEventListener("scroll", () => {
    const view = $("scroll");
    follows = view.scrollHeight - view.scrollTop - view.clientHeight < 40;
    $("jump").hidden = follows;
  });
  newChat();
}
