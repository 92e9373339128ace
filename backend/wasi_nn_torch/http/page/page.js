"use strict";
// Reads the metrics again and again, and shows what has changed in between.

const PERIOD = 2000; // milliseconds
const KEPT = 90; // rates of each model that its line shows
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const COLUMNS = [
  "model", "", "requests/s", "failures/s", "time", "time in the queue", "running", "waiting", "weights", "rows per batch",
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

// What happened to each model in the seconds from one reading to the next; null is a figure that there is not yet.
function rows(before, now, seconds) {
  return now.filter((each) => each.name === "model_ready").map(({ labels: { model }, value }) => {
    // A server that has started anew counts from 0 again.
    const change = (name) => (before ? Math.max(0, sum(now, name, model) - sum(before, name, model)) : null);
    const rate = (name) => (before ? change(name) / seconds : null);
    const mean = (name) => (change(`${name}_count`) ? change(`${name}_sum`) / change(`${name}_count`) : null);
    const batches = sum(now, "batches_total", model);
    return {
      model,
      ready: value === 1,
      requests: rate("http_requests_total"),
      failures: rate("http_failures_total"),
      time: mean("http_request_seconds"),
      queue: mean("queue_seconds"),
      running: sum(now, "requests_running", model),
      waiting: sum(now, "requests_waiting", model),
      weights: sum(now, "graph_bytes", model),
      batch: batches ? sum(now, "batches_total", model, (labels) => Number(labels.size)) / batches : null,
      replaced: sum(now, "instances_replaced_total", model),
    };
  });
}

const amount = (number, digits = 1) => (number === null ? "–" : number.toFixed(digits));
const time = (seconds) => (seconds === null ? "–" : `${(seconds * 1000).toFixed(1)} ms`);

function size(bytes) {
  const unit = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  return `${(bytes / 1024 ** unit).toFixed(unit ? 1 : 0)} ${UNITS[unit]}`;
}

// The texts of a row, except for the first two columns.
function texts(row) {
  return [
    amount(row.requests), amount(row.failures), time(row.time), time(row.queue), `${row.running}`, `${row.waiting}`,
    row.weights ? size(row.weights) : "–", amount(row.batch), `${row.replaced}`,
  ];
}

function summary(figures) {
  const weights = size(sum(figures, "graph_bytes"));
  return `${sum(figures, "sessions_running")} sessions running, ${weights} of weights`;
}

// --- the document; whatever the server says becomes text, never HTML ---

const described = new Map(); // what the server says of each model
const rates = new Map(); // the last rates of each model

function element(name, text, style) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (style) made.className = style;
  return made;
}

function nameCell(row) {
  const cell = element("td", row.ready ? row.model : `${row.model} (not ready)`, row.ready ? "" : "bad");
  const { kind, inputs, outputs } = described.get(row.model) ?? {};
  if (kind) cell.append(element("small", `${kind}: ${inputs} → ${outputs}`));
  return cell;
}

function lineCell(row) {
  const last = [...(rates.get(row.model) ?? []), row.requests ?? 0].slice(-KEPT);
  rates.set(row.model, last);
  const most = Math.max(1, ...last);
  const points = last.map((rate, index) => `${KEPT - last.length + index},${21 - (20 * rate) / most}`);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  svg.setAttribute("width", KEPT);
  svg.setAttribute("height", 22);
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("points", points.join(" "));
  svg.append(line);
  const cell = element("td");
  cell.append(svg);
  return cell;
}

function show(changes) {
  document.getElementById("models").replaceChildren(
    ...changes.map((row) => {
      const shown = element("tr");
      shown.append(nameCell(row), lineCell(row), ...texts(row).map((text) => element("td", text)));
      return shown;
    }),
  );
}

function tensors(described) {
  const each = ({ name, datatype, shape }) => `${name} ${datatype} [${shape.join(", ")}]`;
  return described?.length ? described.map(each).join(", ") : "…";
}

async function describe(model) {
  const answer = await fetch(`v2/models/${encodeURIComponent(model)}`);
  if (!answer.ok) return;
  const { platform, inputs, outputs } = await answer.json();
  const kind = platform.endsWith("_pipeline") ? "pipeline" : "graph";
  described.set(model, { kind, inputs: tensors(inputs), outputs: tensors(outputs) });
}

async function read() {
  const answer = await fetch("metrics");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return { figures: parse(await answer.text()), at: performance.now() };
}

async function start() {
  const line = document.getElementById("summary");
  const heads = element("tr");
  heads.append(...COLUMNS.map((name) => element("th", name)));
  document.getElementById("heads").append(heads);
  for (let before = null; ; await new Promise((resume) => setTimeout(resume, PERIOD))) {
    try {
      const now = await read();
      const changes = rows(before?.figures, now.figures, before ? (now.at - before.at) / 1000 : 0);
      await Promise.all(changes.filter((row) => !described.has(row.model)).map((row) => describe(row.model)));
      show(changes);
      line.textContent = summary(now.figures);
      line.className = "";
      before = now;
    } catch (error) {
      line.textContent = `The server does not answer (${error.message}); these are the last figures.`;
      line.className = "bad";
    }
  }
}

if (typeof document !== "undefined") start();
