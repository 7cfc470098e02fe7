// SPDX-License-Identifier: Apache-2.0
// dom.js: elements by hand. Strings become text nodes, never HTML.

const SVG = "http://www.w3.org/2000/svg";
export const $ = id => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

export const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const icon = name => svg("svg", { "aria-hidden": "true", class: name === "logo" ? "logo" : null }, svg("use", { href: "#i-" + name }));
export const iconButton = (name, label, click) => el("button", { type: "button", class: "icon", "aria-label": label, title: label, click }, icon(name));

/** What this browser keeps; without storage nothing is kept. */
export const store = {
  get(name, fallback) { try { const text = localStorage.getItem("tenon." + name); return text === null ? fallback : JSON.parse(text); } catch { return fallback; } },
  set(name, value) { try { localStorage.setItem("tenon." + name, JSON.stringify(value)); return true; } catch { return false; } },
};
