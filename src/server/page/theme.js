// SPDX-License-Identifier: Apache-2.0
// theme.js: the chosen colours before anything is drawn; the only script that is not a module.
"use strict";
try {
  const theme = localStorage.getItem("tenon.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* storage is switched off: the system's colours */ }
