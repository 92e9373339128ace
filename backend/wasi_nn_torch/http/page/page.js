"use strict";
// Reads the metrics again and again, and shows what has changed in between.

const PERIOD = 2000; // milliseconds
const KEPT = 90; // readings that a line shows
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const COLUMNS = [
  "", "", "requests/s", "failures/s", "time", "in the queue", "running", "waiting", "weights", "rows per batch",
  "instances replaced",
];

// The figures in the text of Prometheus: each a name, labels and a value.
function parse(text) {
  const figures = [];
  for (const line of text.split("\n")) {
    const parts = /^wasi_nn_torch_(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!parts) continue;
    const labels = {};
    for (const [, name, value] of (parts[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[name] = value.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
    figures.push({ name: parts[1], labels, value: Number(parts[3]) });
  }
  return figures;
}

// The sum of the figures with a name, of one model or of all.
function sum(figures, name, model, weight = () => 1) {
  return figures
    .filter((each) => each.name === name && (model === undefined || each.labels.model === model))
    .reduce((total, each) => total + each.value * weight(each.labels), 0);
}

// What happened in the seconds from one reading to the next, to a model or to all; null is a figure that there is not yet.
function row(before, now, seconds, model) {
  // A server that has started anew counts from 0 again.
  const change = (name) => (before ? Math.max(0, sum(now, name, model) - sum(before, name, model)) : null);
  const rate = (name) => (before ? change(name) / seconds : null);
  const mean = (name) => (change(`${name}_count`) ? change(`${name}_sum`) / change(`${name}_count`) : null);
  const batches = sum(now, "batches_total", model);
  return {
    model,
    ready: now.every((each) => each.name !== "model_ready" || each.labels.model !== model || each.value === 1),
    requests: rate("http_request_seconds_count"), // not those of this page, which belong to no model
    failures: rate("http_failures_total"),
    time: mean("http_request_seconds"),
    queue: mean("queue_seconds"),
    running: sum(now, "requests_running", model),
    waiting: sum(now, "requests_waiting", model),
    weights: sum(now, "graph_bytes", model),
    batch: batches ? sum(now, "batches_total", model, (labels) => Number(labels.size)) / batches : null,
    replaced: sum(now, "instances_replaced_total", model),
  };
}

function rows(before, now, seconds) {
  return now
    .filter((each) => each.name === "model_ready")
    .map(({ labels }) => ({ ...row(before, now, seconds, labels.model), kind: labels.kind }));
}

// The models that the server can describe and has not described; a component has paths of its own, and no inputs.
function undescribed(rows) {
  return rows.filter((row) => row.kind !== "component" && !described.has(row.model)).map((row) => row.model);
}

// The failures of each kind, most frequent first; a request that belongs to no model has the model "".
function failures(figures) {
  return figures
    .filter((each) => each.name === "http_failures_total" && each.value)
    .map(({ labels, value }) => ({ model: labels.model, kind: labels.kind, count: value }))
    .sort((one, other) => other.count - one.count);
}

const NOT_YET = "–";
const whole = (number) => number.toLocaleString("en");

function amount(number) {
  if (number === null) return NOT_YET;
  return number < 100 && number !== Math.round(number) ? number.toFixed(1) : whole(Math.round(number));
}

function time(seconds) {
  if (seconds === null) return NOT_YET;
  return seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0)} ms` : `${seconds.toFixed(2)} s`;
}

function size(bytes) {
  const unit = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  return `${(bytes / 1024 ** unit).toFixed(unit ? 1 : 0)} ${UNITS[unit]}`;
}

// The texts of a row, except for the first two columns.
function texts(row) {
  return [
    amount(row.requests), amount(row.failures), time(row.time), time(row.queue), whole(row.running), whole(row.waiting),
    row.weights ? size(row.weights) : NOT_YET, amount(row.batch), whole(row.replaced),
  ];
}

// The tiles: a head, a text whose unit follows a space, a note, the number that the line shows, and how it is spelled.
function tiles(all, figures) {
  const sessions = sum(figures, "sessions_running");
  const queued = all.queue === null ? "" : `${time(all.queue)} of it in the queue`;
  return [
    ["Requests", `${amount(all.requests)} /s`, `${whole(sum(figures, "http_request_seconds_count"))} since the start`, all.requests, amount],
    ["Failures", `${amount(all.failures)} /s`, `${whole(sum(figures, "http_failures_total"))} since the start`, all.failures, amount],
    ["Time", time(all.time), queued, all.time, time],
    ["In progress", whole(all.running), `${whole(all.waiting)} waiting`, all.running + all.waiting, amount],
    ["Weights", size(all.weights), `${whole(sessions)} ${sessions === 1 ? "session" : "sessions"} open`, all.weights, size],
  ];
}

// --- the document; whatever the server says becomes text, never HTML ---

const described = new Map(); // what the server says of each model
const kept = new Map(); // the last numbers of each line

function element(name, text, style) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (style) made.className = style;
  return made;
}

function shape(name, points) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  made.setAttribute("points", points.map((point) => point.join(",")).join(" "));
  return made;
}

// A line of the last numbers, from 0 to the highest one, with the newest at the right.
function line(name, number) {
  const last = [...(kept.get(name) ?? []), number ?? 0].slice(-KEPT);
  kept.set(name, last);
  const most = Math.max(Number.MIN_VALUE, ...last);
  const points = last.map((each, index) => [KEPT - last.length + index, (20 - (18 * each) / most).toFixed(2)]);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${KEPT - 1} 21`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(shape("polygon", [[points[0][0], 21], ...points, [KEPT - 1, 21]]), shape("polyline", points));
  return svg;
}

function tile([head, text, note, number, spelled]) {
  const made = element("article", undefined, head === "Failures" && number ? "bad" : "");
  const [value, unit] = text.split(" ");
  const content = element("div");
  const strong = element("strong", value);
  if (unit) strong.append(element("small", unit));
  const drawn = line(`tile ${head}`, number);
  const most = element("small", `max ${spelled(Math.max(...kept.get(`tile ${head}`)))}`, "max");
  content.append(element("h3", head), most, strong, element("p", note));
  made.append(content, drawn);
  return made;
}

function nameCell(row) {
  const cell = element("td", undefined, row.ready ? "" : "bad");
  cell.append(element("b", row.ready ? row.model : `${row.model} (not ready)`));
  const { inputs, outputs } = described.get(row.model) ?? {};
  const flow = [inputs, outputs].filter(Boolean).join(" → ");
  cell.append(element("small", flow ? `${row.kind}: ${flow}` : row.kind));
  return cell;
}

function tableRow(row) {
  const shown = element("tr");
  const rate = element("td", undefined, "rate");
  rate.append(line(`model ${row.model}`, row.requests));
  const cells = texts(row).map((text, index) => {
    const isBad = COLUMNS[index + 2] === "failures/s" && row.failures;
    const cell = element("td", text, isBad ? "bad" : text === "0" || text === NOT_YET ? "zero" : "");
    cell.dataset.head = COLUMNS[index + 2];
    return cell;
  });
  shown.append(nameCell(row), rate, ...cells);
  return shown;
}

function failure({ model, kind, count }) {
  const item = element("li");
  item.append(element("span", kind, "kind"), element("span", model || "no model"), element("b", whole(count)));
  return item;
}

function show(all, changes, figures) {
  const failed = failures(figures);
  const hint = document.getElementById("hint");
  document.getElementById("tiles").replaceChildren(...tiles(all, figures).map(tile));
  document.getElementById("models").replaceChildren(...changes.map(tableRow));
  document.getElementById("failures").replaceChildren(
    ...(failed.length ? failed.map(failure) : [element("li", "none", "none")]),
  );
  const first = changes.find((row) => described.has(row.model));
  hint.hidden = !first || sum(figures, "queue_seconds_count");
  if (!hint.hidden) {
    const address = new URL(`v2/models/${encodeURIComponent(first.model)}`, location.href);
    hint.replaceChildren("No model was asked yet. ", element("code", `curl ${address}`), " shows what one takes.");
  }
}

function tensors(described) {
  const sizes = (shape) => shape.map((size) => (size < 0 ? "n" : size)).join(", ");
  const each = ({ name, datatype, shape }) => `${name} ${datatype}[${sizes(shape)}]`;
  return (described ?? []).map(each).join(", ");
}

async function describe(model) {
  const answer = await fetch(`v2/models/${encodeURIComponent(model)}`);
  if (!answer.ok) return;
  const { inputs, outputs } = await answer.json();
  described.set(model, { inputs: tensors(inputs), outputs: tensors(outputs) });
}

async function read() {
  const answer = await fetch("metrics");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return { figures: parse(await answer.text()), at: performance.now() };
}

async function update(before) {
  const now = await read();
  const seconds = before ? (now.at - before.at) / 1000 : 0;
  const changes = rows(before?.figures, now.figures, seconds);
  await Promise.all(undescribed(changes).map(describe));
  show(row(before?.figures, now.figures, seconds), changes, now.figures);
  return now;
}

// Say whether the server answers; `since` is when it last did.
function tell(error, since) {
  const state = document.getElementById("state");
  const seconds = Math.round((performance.now() - since) / 1000);
  state.textContent = error ? `The server does not answer. These are the figures of ${seconds} s ago.` : "answers";
  state.className = error ? "bad" : "";
  document.getElementById("figures").className = error ? "stale" : "";
}

async function start() {
  const heads = element("tr");
  heads.append(...COLUMNS.map((name) => element("th", name)));
  document.getElementById("heads").append(heads);
  for (let before = null; ; await new Promise((resume) => setTimeout(resume, PERIOD))) {
    try {
      before = await update(before);
      tell(null, before.at);
    } catch (error) {
      console.warn(error);
      tell(error, before?.at ?? 0);
    }
  }
}

if (typeof document !== "undefined") start();
