"use strict";
// Tries a report's page in the frame above, as a reader would, and writes what is wrong with it.

const frame = document.querySelector("iframe");
const wrong = [];
let tried = 0;

function holds(what, good) {
  tried += 1;
  if (!good) wrong.push(what);
}

/** What a page draws after an event is there. */
const drawn = () => new Promise((done) => setTimeout(done, 50));

/** A control of the page's filters is set, as by hand. */
async function choose(page, name, value) {
  const control = page.getElementById("filters").elements[name];
  control.value = value;
  control.dispatchEvent(new frame.contentWindow.Event("input", { bubbles: true }));
  await drawn();
}

async function click(node) {
  node.dispatchEvent(new frame.contentWindow.MouseEvent("click", { bubbles: true, cancelable: true, detail: 1 }));
  await drawn();
}

function point(node, type) {
  const box = node.getBoundingClientRect();
  const place = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true };
  node.dispatchEvent(new frame.contentWindow.PointerEvent(type, place));
}

const TRIALS = {
  async conformance(page) {
    const cells = () => page.querySelectorAll("#matrix .cell").length;
    const all = cells();
    holds("a cell for each op, dtype and layer", all === 4 * 7 * 2);
    holds("the failure is told", /Red/.test(page.getElementById("verdict").textContent));
    await choose(page, "op", "exp");
    holds("a filter by op leaves its cells", cells() === 14);
    await choose(page, "op", "");
    await click(page.querySelector("[name=outcome][value=failed]"));
    holds("a filter by outcome leaves one cell", cells() === 1);
    const tip = page.getElementById("tip");
    point(page.querySelector("#matrix .cell"), "mouseover");
    holds("pointing at a cell says what it is", !tip.hidden && /exp f16/.test(tip.textContent));
    inside(tip, "what a cell says");
    point(page.querySelector("#matrix .cell"), "mouseout");
    holds("and no longer when the pointer has gone", tip.hidden);
    await click(page.querySelector("#filters [type=reset]"));
    holds("all cells are back after a reset", cells() === all);
  },

  async soak(page) {
    const curves = () => page.querySelectorAll("#curves figure").length;
    const all = curves();
    holds("a curve for each metric and layer", all === 4);
    holds("each is drawn", [...page.querySelectorAll("#curves svg")].every((svg) => svg.querySelector("polyline.curve")));
    holds("the fault is told", /Red/.test(page.getElementById("verdict").textContent)
      && /other bits/.test(page.getElementById("curves").textContent));
    await choose(page, "layer", "engine");
    holds("a filter by layer leaves its curves", curves() === 2);
    await choose(page, "metric", "active");
    holds("and one by metric leaves one of them", curves() === 1);
    await choose(page, "metric", "");
    await choose(page, "layer", "");
    await click(page.querySelector("[name=outcome][value=red]"));
    holds("a filter by outcome leaves the red run's curves", curves() === 2);
    const tip = page.getElementById("tip");
    const curve = page.querySelector("#curves svg");
    curve.scrollIntoView();
    point(curve, "pointermove");
    holds("pointing at a curve says its value", !tip.hidden && /iteration/.test(tip.textContent));
    inside(tip, "what a curve says");
    point(curve, "pointerleave");
    holds("and no longer when the pointer has gone", tip.hidden);
    curve.dispatchEvent(new frame.contentWindow.KeyboardEvent("keydown", { key: "Home", bubbles: true }));
    holds("a key goes along the curve", !tip.hidden && /iteration 0$/.test(tip.textContent));
    await click(page.querySelector("#filters [type=reset]"));
    holds("all curves are back after a reset", curves() === all);
  },
};

/** Nothing is cut off at the side. */
function inside(node, what) {
  const box = node.getBoundingClientRect();
  holds(`${what} is within the page's width`, box.left >= 0 && box.right <= frame.clientWidth);
}

frame.addEventListener("load", async () => {
  const page = frame.contentDocument;
  // From the page's first line on: pages.rs puts the list there.
  const thrown = () => frame.contentWindow.thrown.splice(0).forEach((text) => wrong.push(`a script error: ${text}`));
  const fits = () => page.documentElement.scrollWidth <= frame.clientWidth;
  try {
    holds("the page is drawn", page.title.length > 0 && page.getElementById("verdict").textContent.length > 0);
    holds("the page is no wider than its window", fits());
    await TRIALS[PAGE](page);
    holds("and stays within it", fits());
    thrown();
  } catch (error) {
    wrong.push(String(error));
  }
  document.getElementById("found").textContent = wrong.length ? wrong.join("\n") : `tried ${tried}`;
});
