"use strict";
// What every report's page begins with. Text goes into a page as text nodes only, so nothing in a run
// is ever markup.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const integer = new Intl.NumberFormat("en");
const form = $("filters");

/** An element with properties and children; a string child is text. */
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/** Keeps the filters in the address, so that a view can be shared. */
function writeAddress() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) query.append(name, value);
  // A page opened from a file may be refused an address of its own.
  try {
    history.replaceState(null, "", `#${query}`);
  } catch { /* The view is right, only not in the address. */ }
}

