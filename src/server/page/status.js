// SPDX-License-Identifier: Apache-2.0
// status.js: what the server does now, from /metrics once a second while it is looked at.

import { $, el, svg } from "./dom.js";
import { difference, histogram, parseMetrics, quantile, total } from "./metrics.js";
import { ask } from "./server.js";

const PERIOD_MS = 1000, KEPT = 300, SHORTEST = 60;
const HISTOGRAMS = [
  ["time_to_first_token_seconds", "Time to first token"], ["inter_token_latency_seconds", "Between tokens"], ["e2e_request_latency_seconds", "Whole request"],
  ["request_queue_time_seconds", "Waiting"], ["request_prefill_time_seconds", "Reading the prompt"], ["request_decode_time_seconds", "Writing the answer"],
];
let samples = [], timer = 0, isRecent = false, failure = "";

const seconds = value => value === undefined ? "–" : value < 0.001 ? (value * 1e6).toFixed(0) + " µs" : value < 1 ? (value * 1e3).toPrecision(3) + " ms" : value < 100 ? value.toPrecision(3) + " s" : value.toFixed(0) + " s";
const plain = number => Number(number).toString();
const bound = value => value < 1 ? plain(+(value * 1000).toPrecision(3)) + " ms" : plain(value) + " s";
const count = value => value === undefined ? "–" : value >= 1e9 ? (value / 1e9).toFixed(2) + " G" : value >= 1e6 ? (value / 1e6).toFixed(2) + " M" : value >= 1e4 ? (value / 1e3).toFixed(1) + " k" : value.toFixed(value % 1 === 0 || value >= 100 ? 0 : 1);
const percent = value => value === undefined || Number.isNaN(value) ? "–" : (100 * value).toFixed(value > 0 && value < 0.1 ? 1 : 0);

async function sample() {
  const time = performance.now();
  try {
    const metrics = parseMetrics(await ask("/metrics")), value = name => total(metrics, "tenon_" + name);
    const last = samples.at(-1), elapsed = last ? (time - last.time) / 1000 : 0;
    const one = { time, metrics, running: value("num_requests_running"), waiting: value("num_requests_waiting"), cache: value("kv_cache_usage_perc"),
      prompt: value("prompt_tokens_total"), generated: value("generation_tokens_total"), done: value("request_success_total") };
    const rate = name => last && one[name] >= last[name] && elapsed > 0 ? (one[name] - last[name]) / elapsed : 0;
    one.promptRate = rate("prompt");
    one.generatedRate = rate("generated");
    samples.push(one);
    if (samples.length > KEPT) samples.shift();
    failure = "";
  } catch (error) { failure = error.message || "The server cannot be reached."; }
  if (timer !== 0) draw();
}

// --- drawing -----------------------------------------------------------------------------------------------------------------

function card(value, unit, label, share) {
  const meter = share === undefined ? null : el("div", { class: "meter" }, el("i"));
  if (meter) meter.firstChild.style.width = Math.min(100, 100 * share) + "%";
  return el("div", { class: "card" }, el("b", null, value, unit ? el("small", null, unit) : null), el("span", null, label), meter);
}

/** A round number not below `value`. */
function roof(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map(k => k * unit).find(k => k >= value * 0.999);
}

function lines(title, names, columns, format, top) {
  const W = 340, H = 150, L = 40, R = 6, T = 10, B = 20, span = Math.max(SHORTEST, samples.length), series = columns.map(column => samples.map(one => one[column] || 0));
  const high = top || roof(Math.max(1e-9, ...series.flat())), x = i => L + (W - L - R) * (span - samples.length + i) / (span - 1), y = v => T + (H - T - B) * (1 - Math.min(v, high) / high);
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title });
  for (const part of [0, 0.5, 1]) chart.append(svg("line", { class: "rule", x1: L, x2: W - R, y1: y(part * high), y2: y(part * high) }), svg("text", { x: L - 6, y: y(part * high) + 4, "text-anchor": "end" }, format(part * high)));
  const ago = fraction => { const s = Math.round(fraction * span * PERIOD_MS / 1000); return s < 100 ? `−${s} s` : `−${(s / 60).toFixed(s % 60 === 0 ? 0 : 1)} min`; };
  [[1, "start"], [0.5, "middle"], [0, "end"]].forEach(([fraction, anchor]) => chart.append(svg("text", { x: L + (W - L - R) * (1 - fraction), y: H - 5, "text-anchor": anchor }, fraction === 0 ? "now" : ago(fraction))));
  series.forEach((values, k) => {
    if (values.length < 2) return;
    const path = values.map((v, i) => `${i === 0 ? "M" : "L"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("");
    chart.append(svg("path", { class: "area c" + k, d: `${path}L${x(values.length - 1).toFixed(1)} ${y(0)}L${x(0).toFixed(1)} ${y(0)}Z` }), svg("path", { class: "line c" + k, d: path }));
    chart.lastChild.style.fill = "none";
  });
  return el("div", { class: "panel" }, el("h3", null, title, el("span", { class: "legend" }, ...names.flatMap((name, k) => [el("i", { class: "c" + k }), `${name} ${format(series[k].at(-1) || 0)}`]))), chart);
}

function bars(title, whole) {
  const first = samples[0].metrics, shown = isRecent ? difference(whole, histogram(first, "tenon_" + whole.name)) : whole;
  const figures = el("div", { class: "figures" }, ...[["p50", 0.5], ["p90", 0.9], ["p99", 0.99]].map(([name, q]) => el("span", null, name + " ", el("b", null, seconds(quantile(shown, q))))));
  const panel = el("div", { class: "panel" }, el("h3", null, title, el("span", { title: "mean " + seconds(shown.count > 0 ? shown.sum / shown.count : undefined) }, count(shown.count))), figures);
  const filled = shown.counts.map((n, i) => n > 0 ? i : -1).filter(i => i >= 0), W = 340, H = 120, B = 20, T = 8;
  if (filled.length === 0) { panel.append(el("p", { class: "lead" }, "Nothing yet.")); return panel; }
  const from = Math.max(0, filled[0] - 1), to = Math.min(shown.counts.length - 1, filled.at(-1) + 1), high = Math.max(...shown.counts), width = W / (to - from + 1);
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Histogram: ${title}` });
  chart.append(svg("line", { class: "rule", x1: 0, x2: W, y1: H - B, y2: H - B }));
  const each = Math.ceil((to - from + 1) / 6);
  for (let i = from; i <= to; i++) {
    const height = (H - B - T) * shown.counts[i] / high, at = (i - from) * width, low = i > 0 ? bound(shown.bounds[i - 1]) : "0";
    const range = shown.bounds[i] === Infinity ? `over ${low}` : `${low} to ${bound(shown.bounds[i])}`;
    if (shown.counts[i] > 0) chart.append(svg("rect", { class: "bar", x: at + width * 0.08, width: width * 0.84, y: H - B - Math.max(2, height), height: Math.max(2, height), rx: 2 }, svg("title", null, `${range}: ${shown.counts[i]}`)));
    if ((i - from) % each === 0 && shown.bounds[i] !== Infinity) chart.append(svg("text", { x: at + width, y: H - 5, "text-anchor": i === to ? "end" : "middle" }, bound(shown.bounds[i])));
  }
  panel.append(chart);
  return panel;
}

function ended(now) {
  const series = (now.metrics.get("tenon_request_success_total") || []).filter(one => one.value > 0);
  if (series.length === 0) return null;
  return el("p", { class: "lead" }, "Ended by: " + series.map(one => `${one.labels.finished_reason} ${count(one.value)}`).join(" · "));
}

function draw() {
  const view = $("view-status"), now = samples.at(-1), at = view.scrollTop;
  if (!now) { view.replaceChildren(el("div", null, failure ? el("p", { class: "alert", role: "alert" }, failure) : el("p", { class: "lead" }, "Asking the server …"))); return; }
  const hits = total(now.metrics, "tenon_prefix_cache_hits_total"), queries = total(now.metrics, "tenon_prefix_cache_queries_total");
  const smooth = name => { const recent = samples.slice(-3); return recent.reduce((sum, one) => sum + one[name], 0) / recent.length; };
  const known = HISTOGRAMS.map(([name, title]) => [title, histogram(now.metrics, "tenon_" + name), name]).filter(([, whole]) => whole);
  for (const [, whole, name] of known) whole.name = name;
  const choose = recent => () => { isRecent = recent; draw(); };
  view.replaceChildren(el("div", null,
    failure ? el("p", { class: "alert", role: "alert" }, failure) : null,
    el("div", { class: "cards" },
      card(count(now.running), "", "requests running"), card(count(now.waiting), "", "requests waiting"),
      card(count(smooth("generatedRate")), "tok/s", "generated"), card(count(smooth("promptRate")), "tok/s", "prompts read"),
      card(percent(now.cache), "%", "key/value cache in use", now.cache || 0), card(percent(queries > 0 ? hits / queries : undefined), "%", "prompt tokens from cache", queries > 0 ? hits / queries : 0),
      card(count(now.done), "", "requests finished"), card(count(now.generated), "", "tokens generated")),
    el("h2", null, "Lately"),
    el("div", { class: "panels" }, lines("Tokens a second", ["generated", "prompts"], ["generatedRate", "promptRate"], count),
      lines("Requests", ["running", "waiting"], ["running", "waiting"], count), lines("Key/value cache", ["in use"], ["cache"], value => percent(value) + " %", 1)),
    el("h2", null, "Latency", el("span", { class: "switch", role: "group", "aria-label": "Of which requests" },
      el("button", { type: "button", "aria-pressed": String(!isRecent), click: choose(false) }, "since the start"), el("button", { type: "button", "aria-pressed": String(isRecent), click: choose(true) }, "since this page opened"))),
    el("div", { class: "panels" }, ...known.map(([title, whole]) => bars(title, whole))),
    ended(now)));
  view.scrollTop = at;
}

export function showStatus(isShown) {
  clearInterval(timer);
  timer = 0;
  if (!isShown) return;
  timer = setInterval(() => { if (!document.hidden) sample(); }, PERIOD_MS);
  draw();
  sample();
}
