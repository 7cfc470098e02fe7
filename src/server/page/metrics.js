// SPDX-License-Identifier: Apache-2.0
// metrics.js: Prometheus' text form read, and what its histograms say.

/** name → [{ labels, value }] */
export function parseMetrics(text) {
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const match = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? ([-+]?(?:\d\S*|Inf|NaN))(?: |$)/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] || "").matchAll(/([A-Za-z_]\w*)="((?:\\.|[^"\\])*)"/g)) labels[name] = value.replace(/\\(.)/g, (_, c) => c === "n" ? "\n" : c);
    const value = match[3] === "+Inf" ? Infinity : Number(match[3]);
    if (!metrics.has(match[1])) metrics.set(match[1], []);
    metrics.get(match[1]).push({ labels, value });
  }
  return metrics;
}

/** The sum of a metric's series, or undefined. */
export function total(metrics, name) {
  const series = metrics.get(name);
  return series && series.reduce((sum, one) => sum + one.value, 0);
}

/** { bounds, counts (not cumulative), count, sum } of all series together; undefined if there is none. */
export function histogram(metrics, name) {
  const series = metrics.get(name + "_bucket");
  if (!series) return undefined;
  const sums = new Map();
  for (const { labels, value } of series) {
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    sums.set(bound, (sums.get(bound) || 0) + value);
  }
  const bounds = [...sums.keys()].sort((a, b) => a - b);
  let before = 0;
  const counts = bounds.map(bound => { const count = sums.get(bound) - before; before = sums.get(bound); return count; });
  return { bounds, counts, count: total(metrics, name + "_count") || 0, sum: total(metrics, name + "_sum") || 0 };
}

/** What came between two looks; the whole if the server began anew between them. */
export function difference(now, then) {
  if (!then || then.count > now.count || then.bounds.length !== now.bounds.length) return now;
  return { bounds: now.bounds, counts: now.counts.map((count, i) => count - then.counts[i]), count: now.count - then.count, sum: now.sum - then.sum };
}

/** As Prometheus' histogram_quantile: linear inside a bucket. undefined without values. */
export function quantile(histogram, q) {
  const all = histogram.counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return undefined;
  let rank = q * all;
  for (let i = 0; i < histogram.counts.length; i++) {
    if (rank > histogram.counts[i] || histogram.counts[i] === 0) { rank -= histogram.counts[i]; continue; }
    const low = i > 0 ? histogram.bounds[i - 1] : 0;
    return histogram.bounds[i] === Infinity ? low : low + (histogram.bounds[i] - low) * rank / histogram.counts[i];
  }
  return histogram.bounds.at(-2);
}
