// SPDX-License-Identifier: Apache-2.0
// markdown.js: Markdown that nobody trusts, as DOM nodes.
//
// Text of a model becomes text nodes; elements come from the closed list below, attributes are set by name, links are http, https or
// mailto. No HTML is ever parsed. Every step is linear in the text: what is hostile is long, not slow.
//
//   updateMarkdown(element, text)   shows `text`; blocks that did not change since the last call keep their nodes

import { highlight } from "./highlight.js";

const MAX_DEPTH = 12, MAX_OPEN = 60, MAX_URL = 1000;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// --- inline ------------------------------------------------------------------------------------------------------------------

const ESCAPABLE = "\\`*_{}[]()#+-.!|~<>\"'$&";
const isSpace = c => c === undefined || c === " " || c === "\n" || c === "\t" || c === "\u00a0";
const isWord = c => c !== undefined && /[\p{L}\p{N}_]/u.test(c);
const isPunctuation = c => c !== undefined && /[\p{P}\p{S}]/u.test(c);

/** The address if it may be followed, else null. */
export function safeAddress(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch { return null; }
}

function link(address, children) {
  const href = safeAddress(address);
  if (href === null) return [...children, ` (${address})`];
  const a = make("a", "", ...children);
  a.href = href;
  a.target = "_blank";
  a.rel = "noopener noreferrer nofollow";
  return [a];
}

/** Where each run of backticks of a length begins, so that the closing one is found without searching twice. */
function backtickRuns(text) {
  const runs = new Map();
  for (const match of text.matchAll(/`+/g)) {
    const length = match[0].length;
    if (!runs.has(length)) runs.set(length, { places: [], next: 0 });
    runs.get(length).places.push(match.index);
  }
  return runs;
}

/** "(address)" or "(address "title")" at text[at]: [address, end], or null. */
function linkTarget(text, at) {
  if (text[at] !== "(") return null;
  const limit = Math.min(text.length, at + MAX_URL);
  let i = at + 1, depth = 0;
  const angle = text[i] === "<";
  if (angle) i++;
  const begin = i;
  for (; i < limit; i++) {
    const c = text[i];
    if (c === "\n" || (angle ? c === ">" : isSpace(c))) break;
    if (!angle && c === "(" && ++depth > 8) return null;
    if (!angle && c === ")" && depth-- === 0) break;
  }
  const address = text.slice(begin, i);
  if (angle) { if (text[i] !== ">") return null; i++; }
  while (i < limit && text[i] === " ") i++;
  const quote = text[i];
  if (quote === "\"" || quote === "'") {
    do i++; while (i < limit && text[i] !== quote && text[i] !== "\n");
    if (text[i] !== quote) return null;
    i++;
  }
  return text[i] === ")" && address !== "" ? [address, i + 1] : null;
}

const WRAPS = { "*1": "em", "_1": "em", "*2": "strong", "_2": "strong", "~2": "del" };

/** Nodes and strings of a paragraph's text. */
function inline(text) {
  const runs = backtickRuns(text);
  // frames[0] is the result; each other one is an opening mark that waits for its end
  const frames = [{ mark: "", count: 0, nodes: [], open: { "*": 0, "_": 0, "~": 0 } }];
  const top = () => frames[frames.length - 1];
  let plain = "";
  const flush = () => { if (plain !== "") top().nodes.push(plain); plain = ""; };
  const add = node => { flush(); top().nodes.push(node); };
  const push = (mark, count, extra) => {
    flush();
    const open = mark === "[" ? { "*": 0, "_": 0, "~": 0 } : { ...top().open, [mark]: top().open[mark] + 1 };
    frames.push({ mark, count, nodes: [], open, ...extra });
  };
  const fallBack = to => { // opening marks above frame `to` were just text
    const tail = frames.splice(to + 1);
    for (const frame of tail) {
      top().nodes.push(frame.mark === "[" ? frame.text : frame.mark.repeat(frame.count));
      for (const node of frame.nodes) top().nodes.push(node);
    }
  };
  const close = (mark, count) => {
    flush();
    while (count > 0 && top().open[mark] > 0) {
      let at = frames.length - 1;
      while (frames[at].mark !== mark) at--;
      const frame = frames[at], used = mark === "~" ? 2 : Math.min(2, count, frame.count), tag = WRAPS[mark + used];
      if (tag === undefined || frame.count < used || count < used) break;
      fallBack(at);
      const node = make(tag, "", ...frame.nodes);
      count -= used;
      frame.count -= used;
      if (frame.count > 0) frame.nodes = [node];
      else { frames.pop(); top().nodes.push(node); }
    }
    return count;
  };
  for (let i = 0; i < text.length;) {
    const c = text[i];
    if (c === "\\" && i + 1 < text.length) {
      if (text[i + 1] === "\n") { add(document.createElement("br")); i += 2; continue; }
      if (ESCAPABLE.includes(text[i + 1])) { plain += text[i + 1]; i += 2; continue; }
    } else if (c === "`") {
      let end = i;
      while (text[end] === "`") end++;
      const run = runs.get(end - i);
      if (run) while (run.next < run.places.length && run.places[run.next] < end) run.next++;
      if (run && run.next < run.places.length) {
        const close = run.places[run.next];
        let code = text.slice(end, close).replaceAll("\n", " ");
        if (code.length > 2 && code[0] === " " && code.at(-1) === " " && code.trim() !== "") code = code.slice(1, -1);
        add(make("code", "", code));
        i = close + (end - i);
      } else { plain += text.slice(i, end); i = end; }
      continue;
    } else if (c === "*" || c === "_" || c === "~") {
      let end = i;
      while (text[end] === c) end++;
      let count = end - i;
      const before = text[i - 1], after = text[end];
      const left = !isSpace(after) && (!isPunctuation(after) || isSpace(before) || isPunctuation(before));
      const right = !isSpace(before) && (!isPunctuation(before) || isSpace(after) || isPunctuation(after));
      const opens = left && (c !== "_" || !right || isPunctuation(before)), closes = right && (c !== "_" || !left || isPunctuation(after));
      i = end;
      if (c === "~" && count !== 2) { plain += "~".repeat(count); continue; }
      if (closes) count = close(c, count);
      if (count > 0 && opens && count <= 3 && frames.length < MAX_OPEN) push(c, count);
      else plain += c.repeat(count);
      continue;
    } else if ((c === "[" || (c === "!" && text[i + 1] === "[")) && frames.length < MAX_OPEN) {
      const mark = c === "[" ? "[" : "![";
      push("[", 1, { text: mark });
      i += mark.length;
      continue;
    } else if (c === "]") {
      let at = frames.length - 1;
      while (at > 0 && frames[at].mark !== "[") at--;
      if (at > 0) {
        const target = linkTarget(text, i + 1);
        flush();
        fallBack(at);
        const frame = frames.pop();
        if (target === null) { top().nodes.push(frame.text); for (const node of frame.nodes) top().nodes.push(node); plain += "]"; i++; continue; }
        if (frame.text === "![") frame.nodes.unshift("image: ");
        for (const node of link(target[0], frame.nodes)) top().nodes.push(node);
        i = target[1];
        continue;
      }
    } else if (c === "<") {
      const br = /^<br ?\/?>/i.exec(text.slice(i, i + 6));
      if (br) { add(document.createElement("br")); i += br[0].length; continue; }
      const auto = /^<((?:https?|mailto):[^\s<>]*)>/i.exec(text.slice(i, i + MAX_URL));
      if (auto) { for (const node of link(auto[1], [auto[1]])) add(node); i += auto[0].length; continue; }
    } else if (c === "h" && !isWord(text[i - 1])) {
      const bare = /^https?:\/\/[^\s<>"'`\\^{|}]+/.exec(text.slice(i, i + MAX_URL));
      if (bare) {
        let address = bare[0].replace(/[.,:;!?*_~]{1,20}$/, "");
        if (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
        for (const node of link(address, [address])) add(node);
        i += address.length;
        continue;
      }
    } else if (c === "\n") {
      if (plain.endsWith("  ")) { plain = plain.trimEnd(); add(document.createElement("br")); }
      else plain += "\n";
      i++;
      continue;
    }
    plain += c;
    i++;
  }
  flush();
  fallBack(0);
  return frames[0].nodes;
}

// --- blocks ------------------------------------------------------------------------------------------------------------------

const indentOf = line => { let n = 0; while (n < line.length && (line[n] === " " || line[n] === "\t")) n++; return n; };
const isBlank = line => indentOf(line) === line.length;

function fenceOf(line) {
  const match = /^ {0,3}(`{3,}|~{3,})([^`]*)$/.exec(line);
  return match ? { mark: match[1][0], count: match[1].length, language: match[2].trim().split(/\s/, 1)[0] } : null;
}

function markerOf(line) {
  const match = /^( {0,9})([-*+]|\d{1,9}[.)])(?:( {1,4})(?=\S)|\s*$|\s)/.exec(line);
  if (!match || isRule(line)) return null;
  return { indent: match[1].length, ordered: match[2].length > 1, number: parseInt(match[2], 10), width: match[1].length + match[2].length + (match[3] || " ").length };
}

const isRule = line => indentOf(line) < 4 && /^[ \t]*([-*_])[ \t]*(?:\1[ \t]*){2,}$/.test(line);
const isHeading = line => /^ {0,3}#{1,6}(?:[ \t]|$)/.test(line);
const isQuote = line => /^ {0,3}>/.test(line);
const cellsOf = line => {
  const cells = [];
  let cell = "", inCode = false;
  for (let i = 0; i < line.length; i++) {
    if (line[i] === "\\" && line[i + 1] === "|") { cell += "|"; i++; continue; }
    if (line[i] === "`") inCode = !inCode;
    if (line[i] === "|" && !inCode) { cells.push(cell.trim()); cell = ""; } else cell += line[i];
  }
  cells.push(cell.trim());
  if (cells[0] === "") cells.shift();
  if (cells.at(-1) === "") cells.pop();
  return cells;
};
const isTable = (line, next) => line.includes("|") && next !== undefined && /^[ \t]*\|?(?:[ \t]*:?-+:?[ \t]*\|)*[ \t]*:?-+:?[ \t]*\|?[ \t]*$/.test(next) &&
  next.includes("-") && cellsOf(line).length === cellsOf(next).length;
const beginsBlock = (line, next) => fenceOf(line) !== null || isHeading(line) || isRule(line) || isQuote(line) || markerOf(line) !== null || isTable(line, next);

/** The block at lines[at]: [end, kind]. */
function blockAt(lines, at) {
  const line = lines[at], fence = fenceOf(line);
  let end = at + 1;
  if (fence) {
    const closes = other => { const f = fenceOf(other); return f && f.mark === fence.mark && f.count >= fence.count && f.language === ""; };
    while (end < lines.length && !closes(lines[end])) end++;
    return [Math.min(end + 1, lines.length), "code"];
  }
  if (isHeading(line)) return [end, "heading"];
  if (isRule(line)) return [end, "rule"];
  if (isQuote(line)) {
    while (end < lines.length && !isBlank(lines[end]) && (isQuote(lines[end]) || !beginsBlock(lines[end], lines[end + 1]))) end++;
    return [end, "quote"];
  }
  const marker = markerOf(line);
  if (marker) {
    for (; end < lines.length; end++) {
      const here = lines[end];
      if (isBlank(here)) {
        let next = end;
        while (next < lines.length && isBlank(lines[next])) next++;
        if (next === lines.length) return [next, "list"];
        const other = markerOf(lines[next]);
        if (indentOf(lines[next]) < marker.width && !(other && other.ordered === marker.ordered)) break;
        end = next - 1;
        continue;
      }
      const other = markerOf(here);
      if (other && other.indent <= marker.indent && other.ordered !== marker.ordered) break;
      if (!other && indentOf(here) < marker.width && beginsBlock(here, lines[end + 1])) break;
    }
    return [end, "list"];
  }
  if (isTable(line, lines[end])) {
    end++;
    while (end < lines.length && !isBlank(lines[end]) && lines[end].includes("|")) end++;
    return [end, "table"];
  }
  while (end < lines.length && !isBlank(lines[end]) && !beginsBlock(lines[end], lines[end + 1])) end++;
  return [end, "paragraph"];
}

function codeBlock(lines) {
  const fence = fenceOf(lines[0]), last = lines.length > 1 ? fenceOf(lines.at(-1)) : null;
  const isClosed = last && last.mark === fence.mark && last.count >= fence.count && last.language === "";
  const code = lines.slice(1, isClosed ? -1 : undefined).join("\n");
  const body = make("code");
  for (const [kind, text] of highlight(code, fence.language)) body.append(kind ? make("span", "h-" + kind, text) : text);
  const copy = make("button", "copy", "Copy");
  copy.type = "button";
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  return make("div", "codeblock", make("div", "codebar", make("span", "", fence.language || "text"), copy), make("pre", "", body));
}

function list(lines, depth) {
  const first = markerOf(lines[0]), element = make(first.ordered ? "ol" : "ul");
  if (first.ordered && first.number !== 1) element.start = first.number;
  let isLoose = false;
  for (let at = 0; at < lines.length;) {
    const marker = markerOf(lines[at]) || first, item = [lines[at].slice(Math.min(marker.width, lines[at].length))];
    let end = at + 1;
    for (; end < lines.length; end++) {
      const other = markerOf(lines[end]);
      if (other && other.indent < marker.width) break;
      item.push(lines[end].slice(Math.min(indentOf(lines[end]), marker.width)));
    }
    if (item.some((line, k) => k > 0 && isBlank(line) && item.slice(k).some(other => !isBlank(other)))) isLoose = true;
    const node = make("li"), task = /^\[([ xX])\] /.exec(item[0]);
    if (task) {
      const box = make("input");
      box.type = "checkbox";
      box.disabled = true;
      box.checked = task[1] !== " ";
      node.append(box, " ");
      node.className = "task";
      item[0] = item[0].slice(4);
    }
    const children = blocks(item, depth + 1);
    for (const child of children) {
      if (child.tagName === "P" && !isLoose) node.append(...child.childNodes); else node.append(child);
    }
    element.append(node);
    at = end;
  }
  return element;
}

function table(lines) {
  const align = cellsOf(lines[1]).map(cell => (cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : ""));
  const row = (line, tag) => make("tr", "", ...cellsOf(line).slice(0, align.length).map((cell, k) => make(tag, align[k], ...inline(cell))));
  return make("div", "tablebox", make("table", "", make("thead", "", row(lines[0], "th")), make("tbody", "", ...lines.slice(2).map(line => row(line, "td")))));
}

function heading(line) {
  let text = line.trim();
  let level = 0;
  while (text[level] === "#") level++;
  text = text.slice(level).trim();
  let end = text.length;
  while (end > 0 && text[end - 1] === "#") end--;
  if (end === 0 || isSpace(text[end - 1])) text = text.slice(0, end).trim();
  return make("h" + Math.min(6, level + 1), "", ...inline(text));
}

function block(lines, kind, depth) {
  if (depth > MAX_DEPTH) return make("p", "", lines.join("\n"));
  switch (kind) {
  case "code": return codeBlock(lines);
  case "heading": return heading(lines[0]);
  case "rule": return make("hr");
  case "quote": return make("blockquote", "", ...blocks(lines.map(line => line.replace(/^ {0,3}> ?/, "")), depth + 1));
  case "list": return list(lines, depth);
  case "table": return table(lines);
  default: return make("p", "", ...inline(lines.map(line => line.trimStart()).join("\n").trimEnd()));
  }
}

function split(lines) {
  const found = [];
  for (let at = 0; at < lines.length;) {
    if (isBlank(lines[at])) { at++; continue; }
    const [end, kind] = blockAt(lines, at);
    found.push({ lines: lines.slice(at, end), kind });
    at = end;
  }
  return found;
}

const blocks = (lines, depth) => split(lines).map(part => block(part.lines, part.kind, depth));

const linesOf = text => text.replaceAll("\r\n", "\n").replaceAll("\r", "\n").split("\n");

/** Shows `text` in `element`, keeping the nodes of blocks that are as before. */
export function updateMarkdown(element, text) {
  const parts = split(linesOf(text)), shown = element.tenonBlocks || [];
  let same = 0;
  const sources = parts.map(part => part.kind + "\n" + part.lines.join("\n"));
  while (same < sources.length && same < shown.length && sources[same] === shown[same]) same++;
  while (element.childNodes.length > same) element.lastChild.remove();
  for (const part of parts.slice(same)) element.append(block(part.lines, part.kind, 0));
  element.tenonBlocks = sources;
}
