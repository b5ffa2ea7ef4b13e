// Draws the matrix and the list from the embedded document, whose shape is `Data` in html.rs.

const T = data.trials;
const COUNT = T.name.length;
const PASSED = data.outcomes.findIndex((o) => o.key === "passed");
const PAGE_SIZE = 100;
const OPEN_MESSAGES = 20;

const plural = (n, word) => `${integer.format(n)} ${word}${n === 1 ? "" : "s"}`;

/** An error or a bound, to three digits; a difference that has no size is the largest float. */
function measure(value) {
  if (value === Number.MAX_VALUE) return "∞";
  if (Number.isInteger(value) && value < 1e7) return integer.format(value);
  return String(Number(value.toPrecision(3)));
}

/** The share of the tolerance that a trial's worst value used; −1 where nothing was measured. */
function used(i) {
  if (T.worst[i] === null || T.allowed_worst[i] === null) return -1;
  return T.worst[i] === 0 ? 0 : T.worst[i] / T.allowed_worst[i];
}

/** "3 ulp, allowed 4 (ulp(4))", of what is known. */
function worstText(i) {
  const unit = T.unit[i] === null ? "" : data.units[T.unit[i]];
  const parts = [];
  if (T.worst[i] !== null) parts.push(`${measure(T.worst[i])} ${unit}`.trim());
  const bound = T.allowed_worst[i] === null ? "" : measure(T.allowed_worst[i]);
  const rule = T.allowed[i] === null ? "" : data.allowed[T.allowed[i]];
  if (bound || rule) parts.push(`allowed ${bound && rule ? `${bound} (${rule})` : bound || rule}`);
  return parts.join(", ");
}

const face = (outcome) => data.outcomes[outcome];
const letter = ({ key, letter }) => (key === "passed" ? "✓" : letter === "-" ? "–" : letter);
const badge = (look) => el("span", { className: `badge ${look.key}`, ariaHidden: "true" }, letter(look));

/** How a cell looks. Its trials are sorted worst first; of refusals alone a pass is no sign of an answer. */
const cellFace = (trials) => {
  const outcome = T.outcome[trials[0]];
  return outcome === PASSED && trials.every((i) => T.refusal[i]) ? data.refusal : face(outcome);
};

/** How many trials have each outcome, how many values they compared, and the calls not judged by their values. */
function tally(trials) {
  const counts = new Array(data.outcomes.length).fill(0);
  let checked = 0;
  let byType = 0;
  let leftOut = 0;
  for (const i of trials) {
    counts[T.outcome[i]] += 1;
    checked += T.checked[i];
    byType += T.by_type[i];
    leftOut += T.left_out[i];
  }
  return { counts, checked, byType, leftOut, trials: trials.length };
}

const outcomesText = ({ counts }) =>
  counts.flatMap((n, o) => (n > 0 ? [`${integer.format(n)} ${face(o).label}`] : [])).join(", ");

const ALL = Array.from({ length: COUNT }, (_, i) => i);

// ---- What does not depend on the filters ----

function drawHeader() {
  const total = tally(ALL);
  const red = total.counts.filter((n, o) => n > 0 && face(o).red);
  const absent = data.layers.filter((layer) => !layer.ran).map((layer) => layer.name);
  const good = red.length === 0;
  const word = COUNT === 0 ? "Nothing ran" : good ? "Green" : "Red";
  const badgeClass = COUNT === 0 ? "not_run" : good ? "passed" : "failed";
  $("verdict").append(
    el("strong", { className: badgeClass }, word),
    ` ${outcomesText(total) || "no trials"}; ${plural(total.checked, "value")} compared in ${data.seconds.toFixed(1)} s`,
    absent.length ? `; did not run here: ${absent.join(", ")}.` : ".",
  );
  document.title = `${word}: Emily conformance`;
}

function drawLayers() {
  const shown = [PASSED, ...data.outcomes.keys()].filter(
    (o, place) => (place === 0 || o !== PASSED) && T.outcome.includes(o),
  );
  const row = (name, trials, unasked) => {
    const sum = tally(trials);
    sum.leftOut += unasked;
    return el("tr", {},
      el("th", { scope: "row" }, name),
      el("td", {}, integer.format(sum.trials)),
      ...shown.map((o) => el("td", {}, sum.counts[o] ? integer.format(sum.counts[o]) : "")),
      el("td", {}, integer.format(sum.checked)),
      el("td", {}, sum.byType ? integer.format(sum.byType) : ""),
      el("td", {}, sum.leftOut ? integer.format(sum.leftOut) : ""));
  };
  const body = data.layers.flatMap((layer, l) => {
    const trials = ALL.filter((i) => T.layer[i] === l);
    return trials.length ? [row(layer.name, trials, layer.unasked)] : [];
  });
  const heads = shown.map((o) => el("th", { scope: "col" }, badge(face(o)), ` ${face(o).label}`));
  $("layers").append(
    el("thead", {}, el("tr", {},
      el("th", { scope: "col" }, "layer"), el("th", { scope: "col" }, "trials"), ...heads,
      el("th", { scope: "col" }, "values compared"),
      el("th", { scope: "col", title: "calls of which only the results' types were judged" }, "by type"),
      el("th", { scope: "col", title: "calls that the layer was not asked" }, "left out"))),
    el("tbody", {}, ...body),
    el("tfoot", {}, row("all", ALL, data.layers.reduce((sum, layer) => sum + layer.unasked, 0))),
  );
  const absent = data.layers.filter((layer) => !layer.ran);
  if (absent.length === 0) return;
  $("absent").append(el("ul", {}, ...absent.map((layer) => el("li", {},
    el("strong", {}, `${layer.name} did not run`), ` (${plural(layer.not_run, "trial")}): ${layer.reason ?? "no reason given"}`,
    ...(layer.remedy ? [el("div", {}, "To enable it: ", el("code", {}, layer.remedy))] : [])))));
}

/** A row per model, head and question, a column per lane and dtype. */
function drawModels() {
  const columns = new Map(), rows = new Map();
  for (const i of ALL) {
    const [layer, model, head, ask, lane, dtype] = T.name[i].split("::");
    if (layer !== "slices") continue;
    const column = `${lane} ${dtype}`, row = [model, head, ask].join(" ");
    columns.set(column, columns.size);
    if (!rows.has(row)) rows.set(row, new Map());
    rows.get(row).set(column, i);
  }
  if (rows.size === 0) return;
  $("models").hidden = false;
  const heads = [...columns.keys()].sort();
  const cell = (i) => {
    if (i === undefined) return el("td");
    const share = used(i) > 0 ? `${Math.round(100 * used(i))} % · ` : "";
    return el("td", { title: worstText(i) }, badge(face(T.outcome[i])), ` ${share}${Math.round(T.millis[i])} ms`);
  };
  $("slices").append(
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "model, head, question"),
      ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...[...rows.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([row, cells]) =>
      el("tr", {}, el("th", { scope: "row" }, el("code", {}, row)), ...heads.map((head) => cell(cells.get(head)))))),
  );
}

/** A figure of a bench, in a unit that reads well; its unit is that of `Unit` in xtask's figure.rs. */
function figure(value, unit) {
  if (value === undefined) return "–";
  if (unit.tokens) return `${(unit.tokens * 1e9 / value).toFixed(1)} /s`;
  if (unit === "bytes") return `${integer.format(Math.round(value))} bytes`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} ms`;
  return value >= 1e3 ? `${(value / 1e3).toFixed(2)} µs` : `${Math.round(value)} ns`;
}

/** A table per kind of bench, a column per who was measured. */
function drawSpeed() {
  if (data.speed.length === 0) return;
  $("speed").hidden = false;
  for (const bench of data.speed) {
    const who = [...new Set(bench.rows.flatMap((row) => Object.keys(row.by)))];
    const kept = (row) => row.bar === null ? "" : `${row.bar.toFixed(2)} ${row.ratio <= row.bar ? "ok" : "missed"}`;
    $("benches").append(
      el("h3", {}, bench.title), el("p", { className: "hint" }, `${bench.date}, ${bench.machine}`),
      el("div", { className: "scroll", tabIndex: 0 }, el("table", { className: "totals" },
        el("thead", {}, el("tr", {}, ...["figure", ...who, "ratio", "bar"].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, ...bench.rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row.name),
          ...who.map((name) => el("td", {}, figure(row.by[name], row.unit))),
          el("td", {}, row.ratio.toFixed(2)), el("td", {}, kept(row))))))));
  }
}

function drawVersions() {
  for (const [name, version] of Object.entries(data.versions)) {
    $("versions").append(el("dt", {}, name), el("dd", {}, version));
  }
}

function drawFilters() {
  const total = tally(ALL);
  for (const [o, outcome] of data.outcomes.entries()) {
    if (total.counts[o] === 0) continue;
    $("outcomes").append(el("label", { className: "chip", title: outcome.means },
      el("input", { type: "checkbox", name: "outcome", value: outcome.key }),
      badge(face(o)), `${outcome.label} ${integer.format(total.counts[o])}`));
  }
  const fill = (name, values) => {
    form.elements[name].append(el("option", { value: "" }, "all"),
      ...values.map((value) => el("option", { value }, value)));
    form.elements[name].closest("label").hidden = values.length < 2;
  };
  fill("layer", data.layers.filter((_, l) => T.layer.includes(l)).map((layer) => layer.name));
  fill("op", data.ops);
  fill("dtype", data.dtypes);
}

// ---- The filters, kept in the address so that a view can be shared ----

const SELECTS = ["layer", "op", "dtype"];

function readAddress() {
  const query = new URLSearchParams(location.hash.slice(1));
  for (const name of [...SELECTS, "text"]) form.elements[name].value = query.get(name) ?? "";
  const wanted = query.getAll("outcome");
  for (const box of outcomeBoxes()) box.checked = wanted.includes(box.value);
}

const outcomeBoxes = () => [...form.querySelectorAll("[name=outcome]")];

/** The trials that pass every filter, in order. */
function filtered() {
  const layers = data.layers.map((layer) => layer.name);
  const lists = { layer: layers, op: data.ops, dtype: data.dtypes };
  const picked = SELECTS.filter((name) => form.elements[name].value !== "")
    .map((name) => [T[name], lists[name].indexOf(form.elements[name].value)]);
  const outcomes = new Set(outcomeBoxes().filter((box) => box.checked)
    .map((box) => data.outcomes.findIndex((o) => o.key === box.value)));
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  return ALL.filter((i) => {
    if (outcomes.size > 0 && !outcomes.has(T.outcome[i])) return false;
    if (picked.some(([column, value]) => column[i] !== value)) return false;
    if (words.length === 0) return true;
    const text = `${T.name[i]} ${T.message[i] ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

// ---- The matrix ----

/** Trials by op and dtype, the dtypes and ops in their order. */
function gridOf(trials) {
  const cells = new Map();
  for (const i of trials) {
    const key = `${T.op[i]} ${T.dtype[i]}`;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(i);
  }
  const inUse = (column) => [...new Set(trials.map((i) => column[i]))].sort((a, b) => a - b);
  return { cells, ops: inUse(T.op), dtypes: inUse(T.dtype) };
}

function drawMatrix(trials) {
  const sections = data.layers.flatMap((layer, l) => {
    const own = trials.filter((i) => T.layer[i] === l);
    return own.length ? [layerSection(layer.name, own)] : [];
  });
  const none = el("p", { className: "empty" }, "No trial matches the filters.");
  $("matrix").replaceChildren(...(sections.length ? sections : [none]));
}

function layerSection(layer, trials) {
  const { cells, ops, dtypes } = gridOf(trials);
  const head = el("tr", {}, el("th", { scope: "col" }, "op"),
    ...dtypes.map((d) => el("th", { scope: "col" }, data.dtypes[d])));
  const rows = ops.map((op) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, data.ops[op])),
    ...dtypes.map((dtype) => {
      const own = cells.get(`${op} ${dtype}`);
      return el("td", {}, ...(own ? [cellButton(layer, own)] : []));
    })));
  const table = el("table", { className: "grid" }, el("thead", {}, head), el("tbody", {}, ...rows));
  table.querySelector(".cell").tabIndex = 0;
  const id = `layer-${layer}`;
  const box = el("div", { className: "scroll", role: "region" }, table);
  box.setAttribute("aria-labelledby", id);
  return el("section", {}, el("h3", { id }, `${layer} `,
    el("span", { className: "meta" }, `${plural(trials.length, "trial")}, ${outcomesText(tally(trials))}`)), box);
}

/** The trial of a cell that used most of its tolerance, or undefined. */
function nearest(trials) {
  let best;
  for (const i of trials) if (used(i) >= 0 && (best === undefined || used(i) > used(best))) best = i;
  return best;
}

function cellButton(layer, trials) {
  const look = cellFace(trials);
  const op = data.ops[T.op[trials[0]]], dtype = data.dtypes[T.dtype[trials[0]]];
  const worst = nearest(trials);
  const button = el("button", { type: "button", className: `cell ${look.key}`, tabIndex: -1 }, letter(look));
  const label = `${op} ${dtype} on ${layer}: ${look.label}; ${outcomesText(tally(trials))}`;
  button.ariaLabel = worst === undefined ? label : `${label}; worst ${worstText(worst)}`;
  button.ariaExpanded = "false";
  if (worst !== undefined && T.outcome[trials[0]] === PASSED) button.style.setProperty("--used", Math.min(used(worst), 1));
  button.cell = { layer, op, dtype, trials, worst };
  return button;
}

// ---- What a cell says ----

const tip = $("tip");
let shown = null;
let pinned = null;

function fillTip({ layer, op, dtype, trials, worst }) {
  const sum = tally(trials), look = cellFace(trials);
  const facts = [
    ["outcome", [badge(look), ` ${look.label}: ${look.means}`]],
    ["trials", [`${integer.format(sum.trials)} (${outcomesText(sum)})`]],
    ["compared", [plural(sum.checked, "value")]],
  ];
  if (worst !== undefined) facts.push(["worst", [worstText(worst), ", in ", el("code", {}, T.name[worst])]]);
  const red = trials.filter((i) => face(T.outcome[i]).red);
  const names = red.slice(0, 5).map((i) => el("div", {}, el("code", {}, T.name[i])));
  if (red.length > names.length) names.push(el("div", {}, `and ${red.length - names.length} more`));
  if (names.length) facts.push(["red", names]);
  const list = el("button", { type: "button" }, `List ${trials.length === 1 ? "this trial" : `these ${trials.length} trials`}`);
  list.addEventListener("click", () => listOnly({ layer, op, dtype }));
  const close = el("button", { type: "button" }, "Close");
  close.addEventListener("click", () => unpin(true));
  tip.replaceChildren(
    el("h3", {}, el("code", {}, `${op} ${dtype}`), el("span", { className: "meta" }, ` on ${layer}`)),
    el("dl", {}, ...facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, ...value)])),
    el("div", { className: "actions" }, list, close),
  );
}

function showTip(button) {
  fillTip(button.cell);
  shown = button;
  tip.hidden = false;
  placeTip();
}

function hideTip() {
  shown = null;
  tip.hidden = true;
}

/** Below the cell, or above it where there is no room; the style sheet decides on a phone. */
function placeTip() {
  if (!shown) return;
  const at = shown.getBoundingClientRect(), box = tip.getBoundingClientRect();
  const below = at.bottom + 8 + box.height < innerHeight;
  tip.style.top = `${Math.max(8, below ? at.bottom + 8 : at.top - box.height - 8)}px`;
  tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - box.width - 12))}px`;
}

function pin(button) {
  unpin(false);
  pinned = button;
  button.ariaExpanded = "true";
  tip.classList.add("pinned");
  showTip(button);
}

function unpin(refocus) {
  if (pinned) {
    pinned.ariaExpanded = "false";
    if (refocus) pinned.focus();
  }
  pinned = null;
  tip.classList.remove("pinned");
  hideTip();
}

/** Filters down to one cell and goes to the list. */
function listOnly({ layer, op, dtype }) {
  Object.assign(form.elements.layer, { value: layer });
  Object.assign(form.elements.op, { value: op });
  Object.assign(form.elements.dtype, { value: dtype });
  unpin(false);
  draw();
  $("trials").scrollIntoView();
  $("trials").focus({ preventScroll: true });
}

const matrix = $("matrix");
const cellOf = (event) => event.target.closest?.(".cell");
for (const [come, go] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  matrix.addEventListener(come, (event) => {
    const button = cellOf(event);
    if (button && !pinned) showTip(button);
  });
  matrix.addEventListener(go, () => { if (!pinned) hideTip(); });
}
matrix.addEventListener("click", (event) => {
  const button = cellOf(event);
  if (!button) return;
  rove(button);
  if (pinned === button) return unpin(false);
  pin(button);
  // A key press clicks with no pointer: its hand is on the keyboard, so focus goes along.
  if (event.detail === 0) tip.querySelector("button").focus();
});
document.addEventListener("click", (event) => {
  if (pinned && !tip.contains(event.target) && !cellOf(event)) unpin(false);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && pinned) unpin(true);
});
// Captured, because a table's own scrolling does not bubble.
addEventListener("scroll", placeTip, { passive: true, capture: true });
addEventListener("resize", placeTip);

/** One cell per table takes part in the tab order; the arrow keys move among the others. */
function rove(button) {
  for (const other of button.closest("table").querySelectorAll(".cell[tabindex='0']")) other.tabIndex = -1;
  button.tabIndex = 0;
}

matrix.addEventListener("keydown", (event) => {
  const button = cellOf(event);
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!button || !step) return;
  event.preventDefault();
  const table = button.closest("table");
  let row = button.closest("tr").rowIndex, column = button.closest("td").cellIndex;
  for (;;) {
    row += step[0];
    column += step[1];
    const td = row > 0 ? table.rows[row]?.cells[column] : undefined;
    if (!td || column < 1) return;
    const next = td.querySelector(".cell");
    if (!next) continue;
    unpin(false);
    rove(next);
    next.focus();
    return;
  }
});

// ---- The list ----

let listed = [];

function trialItem(i, place) {
  const outcome = T.outcome[i];
  const meta = [face(outcome).label, T.worst[i] === null ? "" : `worst ${worstText(i)}`, plural(T.checked[i], "value"),
    `${measure(T.millis[i])} ms`];
  const message = T.message[i];
  return el("li", {}, badge(face(outcome)), el("div", {},
    el("p", { className: "name" }, el("code", {}, T.name[i])),
    el("p", { className: "meta" }, meta.filter(Boolean).join(" · ")),
    ...(message ? [el("details", { open: face(outcome).red && place < OPEN_MESSAGES },
      el("summary", {}, "message"), el("pre", { tabIndex: 0 }, message))] : [])));
}

function drawMore() {
  const from = $("list").childElementCount;
  const next = listed.slice(from, from + PAGE_SIZE);
  $("list").append(...next.map((i, place) => trialItem(i, from + place)));
  const left = listed.length - from - next.length;
  $("more").hidden = left === 0;
  $("more").textContent = `Show ${Math.min(left, PAGE_SIZE)} more of ${integer.format(left)}`;
}
$("more").addEventListener("click", drawMore);

// ---- Together ----

function draw() {
  unpin(false);
  listed = filtered();
  const sum = tally(listed);
  $("count").textContent = listed.length === COUNT
    ? `All ${plural(COUNT, "trial")} shown.`
    : `${plural(listed.length, "trial")} of ${integer.format(COUNT)}: ${outcomesText(sum) || "none"}; ${plural(sum.checked, "value")} compared.`;
  drawMatrix(listed);
  $("list").replaceChildren();
  drawMore();
  writeAddress();
}

let waiting;
form.addEventListener("input", (event) => {
  clearTimeout(waiting);
  waiting = setTimeout(draw, event.target.name === "text" ? 150 : 0);
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(draw));
addEventListener("hashchange", () => {
  // A link within the page is not a view.
  if (location.hash !== "" && !location.hash.includes("=")) return;
  readAddress();
  draw();
});

drawHeader();
drawLayers();
drawModels();
drawSpeed();
drawVersions();
drawFilters();
readAddress();
draw();
