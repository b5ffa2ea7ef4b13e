// Draws the table and the curves from the embedded document, whose shape is `Data` in html.rs.

const runs = data.report.runs;
const OUTCOMES = [["red", "red"], ["short", "too short"], ["green", "green"]];
const [WIDTH, HEIGHT, MARGIN] = [320, 110, 6];

const metricOf = (name) => data.metrics.find((metric) => metric.name === name);

/** The same of SVG, whose properties are attributes. */
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** A value to three digits, in a unit that reads well. */
function show(value, unit) {
  const steps = {
    bytes: [[2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"], [0, " B"]],
    micros: [[1e6, " s"], [1e3, " ms"], [0, " µs"]],
    count: [[0, ""]],
  }[unit];
  const [size, name] = steps.find(([size]) => Math.abs(value) >= size);
  const scaled = value / (size || 1);
  return `${Math.abs(scaled) >= 1000 ? integer.format(Math.round(scaled)) : Number(scaled.toPrecision(3))}${name}`;
}

const labelOf = (outcome) => OUTCOMES.find(([key]) => key === outcome)[1];
const badge = (outcome) => el("span", { className: `badge ${outcome}` }, labelOf(outcome));

/** "1.2 B (0.9 B to 1.5 B)", for a thousand iterations. */
function slopeText(curve) {
  if (!curve.fit) return "–";
  const { unit } = metricOf(curve.metric);
  const [slope, low, high] = [curve.fit.slope, curve.fit.low, curve.fit.high].map((value) => show(1000 * value, unit));
  return low === high ? slope : `${slope} (${low} to ${high})`;
}

// ---- What does not depend on the filters ----

function drawHeader() {
  const count = (outcome) => runs.filter((run) => run.outcome === outcome).length;
  const worst = OUTCOMES.find(([key]) => count(key) > 0)?.[0];
  const word = worst === undefined ? "Nothing ran" : { red: "Red", short: "Too short", green: "Green" }[worst];
  const text = OUTCOMES.filter(([key]) => count(key) > 0).map(([key, label]) => `${count(key)} ${label}`).join(", ");
  $("verdict").append(el("strong", { className: worst ?? "short" }, word), ` ${text}`);
  document.title = `${word}: Emily soak`;
  for (const [name, value] of Object.entries(data.report.machine)) {
    $("machine").append(el("dt", {}, name), el("dd", {}, value));
  }
  if (data.report.not_run.length) {
    $("absent").append(el("ul", {}, ...data.report.not_run.map((text) => el("li", {}, el("strong", {}, "not run: "), text))));
  }
}

function drawRuns() {
  const shown = [["active", "tensor memory"], ["resident", "resident set"]];
  const levels = [["p50", "p50"], ["p99", "p99"]];
  const heads = ["harness", "layer", "device", "outcome", "iterations", "seconds", "requests", "answered",
    ...shown.map(([, label]) => `${label}, slope`), ...levels.map(([, label]) => label)];
  const rows = runs.map((run) => {
    const curve = (name) => run.curves.find((curve) => curve.metric === name);
    const level = (name) => (curve(name)?.fit ? show(curve(name).fit.level, metricOf(name).unit) : "–");
    return el("tr", {},
      el("th", { scope: "row" }, el("code", {}, run.harness)),
      ...[run.layer, run.device].map((text) => el("td", {}, text)),
      el("td", {}, badge(run.outcome)),
      ...[run.iterations, Math.round(run.seconds), run.asked, run.answered].map((n) => el("td", {}, integer.format(n))),
      ...shown.map(([name]) => el("td", {}, curve(name) ? slopeText(curve(name)) : "–")),
      ...levels.map(([name]) => el("td", {}, level(name))));
  });
  $("runs").append(
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...rows));
}

function drawFilters() {
  for (const [key, label] of OUTCOMES) {
    const count = runs.filter((run) => run.outcome === key).length;
    if (count === 0) continue;
    $("outcomes").append(el("label", { className: "chip" },
      el("input", { type: "checkbox", name: "outcome", value: key }), badge(key), `${count} ${label}`));
  }
  const fill = (name, values) => {
    form.elements[name].append(el("option", { value: "" }, "all"), ...values.map((value) => el("option", { value }, value)));
    form.elements[name].closest("label").hidden = values.length < 2;
  };
  const inUse = (values) => [...new Set(values)];
  fill("layer", inUse(runs.map((run) => run.layer)));
  fill("harness", inUse(runs.map((run) => run.harness)));
  fill("metric", inUse(runs.flatMap((run) => run.curves.map((curve) => curve.metric))));
}

// ---- The filters, kept in the address so that a view can be shared ----

function readAddress() {
  const query = new URLSearchParams(location.hash.slice(1));
  for (const name of ["layer", "harness", "metric"]) form.elements[name].value = query.get(name) ?? "";
  const wanted = query.getAll("outcome");
  for (const box of form.querySelectorAll("[name=outcome]")) box.checked = wanted.includes(box.value);
}

/** The runs that pass the filters, each with its curves that do. */
function filtered() {
  const wanted = Object.fromEntries(["layer", "harness", "metric"].map((name) => [name, form.elements[name].value]));
  const outcomes = new FormData(form).getAll("outcome");
  return runs
    .filter((run) => (!wanted.layer || run.layer === wanted.layer) && (!wanted.harness || run.harness === wanted.harness)
      && (outcomes.length === 0 || outcomes.includes(run.outcome)))
    .map((run) => ({ run, curves: run.curves.filter((curve) => !wanted.metric || curve.metric === wanted.metric) }));
}

// ---- The curves ----

function draw() {
  const shown = filtered();
  const curves = shown.reduce((sum, { curves }) => sum + curves.length, 0);
  $("count").textContent = `${integer.format(curves)} curves of ${integer.format(shown.length)} runs`;
  const none = el("p", { className: "empty" }, "No run matches the filters.");
  $("curves").replaceChildren(...(shown.length ? shown.map(runSection) : [none]));
  hideTip();
}

function runSection({ run, curves }) {
  const doc = data.harnesses.find((harness) => harness.name === run.harness).label;
  return el("section", {},
    el("h3", {}, badge(run.outcome), " ", el("code", {}, run.harness), ` on ${run.layer}, ${run.device}`),
    el("p", { className: "hint" }, doc),
    ...(run.reasons.length ? [el("ul", {}, ...run.reasons.map((text) => el("li", {}, text)))] : []),
    el("div", { className: "figures" }, ...curves.map(figure)));
}

function limitText(curve) {
  const { unit } = metricOf(curve.metric);
  const { drift, slack, level, left, most } = curve.limit;
  return [
    drift !== undefined && `slope up to ${show(drift, unit)}`,
    slack !== undefined && `and ${show(slack, unit)} over the run`,
    level !== undefined && `level up to ${show(level, unit)}`,
    left !== undefined && `left up to ${show(left, unit)}`,
    most !== undefined && `at most ${show(most, unit)}`,
  ].filter(Boolean).join(", ") || "not judged";
}

function figure(curve) {
  const metric = metricOf(curve.metric);
  const level = curve.fit ? `level ${show(curve.fit.level, metric.unit)}, slope ${slopeText(curve)}` : "too few samples for a line";
  const left = curve.left === null ? "" : `; left ${show(curve.left, metric.unit)}`;
  const last = curve.points.at(-1)?.[0] ?? 0;
  return el("figure", { className: curve.outcome === "red" ? "is-red" : "" },
    el("figcaption", {}, el("strong", {}, metric.label), el("span", { className: "meta" }, level + left),
      el("span", { className: "meta" }, `allowed: ${limitText(curve)}`)),
    chart(curve, metric),
    el("div", { className: "ends" }, el("span", {}, "0"), el("span", {}, `${integer.format(last)} iterations`)));
}

/** Where values lie in the picture. */
function scaleOf(points) {
  const values = points.map(([, y]) => y);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  // A level is drawn in the middle, and noise of a thousandth as nearly one.
  const least = Math.max(Math.abs(high) / 100, 1);
  if (high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
  const [first, last] = [points[0][0], points.at(-1)[0]];
  const x = (value) => MARGIN + ((value - first) / Math.max(last - first, 1)) * (WIDTH - 2 * MARGIN);
  const y = (value) => HEIGHT - MARGIN - ((value - low) / (high - low)) * (HEIGHT - 2 * MARGIN);
  return { x, y };
}

function chart(curve, metric) {
  const points = curve.points;
  const label = `${metric.label} over iterations`;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, tabindex: "0" });
  if (points.length < 2) return picture;
  const { x, y } = scaleOf(points);
  const from = points[Math.floor(points.length / 8)][0];
  const round = (number) => number.toFixed(1);
  picture.append(
    svg("rect", { class: "skipped", x: MARGIN, y: 0, width: round(Math.max(0, x(from) - MARGIN)), height: HEIGHT }),
    svg("line", { class: "axis", x1: MARGIN, x2: WIDTH - MARGIN, y1: HEIGHT - MARGIN, y2: HEIGHT - MARGIN }),
    svg("polyline", { class: "curve", points: points.map(([a, b]) => `${round(x(a))},${round(y(b))}`).join(" ") }));
  if (curve.fit) {
    const last = points.at(-1)[0];
    const at = (iteration) => round(y(curve.fit.level + curve.fit.slope * (iteration - (from + last) / 2)));
    picture.append(svg("line", { class: "line", x1: round(x(from)), x2: round(x(last)), y1: at(from), y2: at(last) }));
  }
  const cross = svg("line", { class: "cross", y1: 0, y2: HEIGHT, visibility: "hidden" });
  const dot = svg("circle", { class: "dot", r: 3.5, visibility: "hidden" });
  picture.append(cross, dot);
  let place = points.length - 1;
  const mark = (i) => {
    place = Math.min(points.length - 1, Math.max(0, i));
    const [iteration, value] = points[place];
    cross.setAttribute("x1", x(iteration));
    cross.setAttribute("x2", x(iteration));
    dot.setAttribute("cx", x(iteration));
    dot.setAttribute("cy", y(value));
    for (const node of [cross, dot]) node.setAttribute("visibility", "visible");
    showTip(picture, x(iteration), y(value), `${show(value, metric.unit)} at iteration ${integer.format(iteration)}`);
  };
  const leave = () => {
    for (const node of [cross, dot]) node.setAttribute("visibility", "hidden");
    hideTip();
  };
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    const distances = points.map(([iteration]) => Math.abs(x(iteration) - at));
    mark(distances.indexOf(Math.min(...distances)));
  });
  picture.addEventListener("pointerleave", leave);
  picture.addEventListener("focus", () => { if (picture.matches(":focus-visible")) mark(place); });
  picture.addEventListener("blur", leave);
  picture.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: points.length - 1 };
    if (event.key === "Escape") return leave();
    if (!(event.key in steps)) return;
    event.preventDefault();
    mark(steps[event.key]);
  });
  return picture;
}

// ---- What the pointer is at ----

const tip = $("tip");

/** The text beside a place of the picture. */
function showTip(picture, x, y, text) {
  const box = picture.getBoundingClientRect();
  tip.textContent = text;
  tip.hidden = false;
  const own = tip.getBoundingClientRect();
  const left = box.left + (x / WIDTH) * box.width + 12;
  tip.style.left = `${Math.max(8, Math.min(left, document.documentElement.clientWidth - own.width - 8))}px`;
  tip.style.top = `${Math.max(8, box.top + (y / HEIGHT) * box.height - own.height - 8)}px`;
}

function hideTip() {
  tip.hidden = true;
}

addEventListener("scroll", hideTip, { passive: true });
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", () => { writeAddress(); draw(); });
// The controls are reset after this event.
form.addEventListener("reset", () => setTimeout(() => { writeAddress(); draw(); }));
addEventListener("hashchange", () => { readAddress(); draw(); });

drawHeader();
drawRuns();
drawFilters();
readAddress();
draw();
