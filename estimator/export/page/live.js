"use strict";
/* Recalculates a report: the formulas are those of the command, every scenario side by side, ranges by the same rule. */
const DATA = JSON.parse(document.getElementById("data").textContent);
const SCENARIOS = 1 + 2 * DATA.factors;
const START = new Map(), MOVED = new Map();
let columns = [];

function replicaMonths(peak, capacity, use, growth, months, least) {
  let total = 0;
  for (let month = 0; month < months; month++) {
    total += Math.max(Math.ceil(peak / (capacity * use)), least);
    peak *= 1 + growth;
  }
  return total;
}

function spareMonths(fleet, accelerators, months, growth, peak, capacity, use, least) {
  let total = 0;
  for (let month = 0; month < months; month++) {
    total += Math.max(fleet - accelerators * Math.max(Math.ceil(peak / (capacity * use)), least), 0);
    peak *= 1 + growth;
  }
  return total;
}

function leafColumn(entry) {
  const column = new Float64Array(SCENARIOS).fill(entry[1] === null ? NaN : entry[1]);
  for (const [place, value] of Object.entries(entry[2] || {})) column[place] = value === null ? NaN : value;
  return column;
}

function inputColumn(input) {
  const { value, low, high, factor } = input;
  const column = new Float64Array(SCENARIOS).fill(value);
  if (factor !== null && value > 0) {
    if (low > 0) column[1 + factor] = value * Math.exp(-Math.log(value / low));
    column[1 + DATA.factors + factor] = value * Math.exp(Math.log(high / value));
  }
  return column;
}

function recalculate() {
  const values = new Float64Array(DATA.steps);
  columns = Array.from({ length: DATA.steps }, () => new Float64Array(SCENARIOS));
  for (const [number, column] of START) columns[number] = column;
  for (const [number, input] of MOVED) columns[number] = inputColumn(input);
  for (let scenario = 0; scenario < SCENARIOS; scenario++) {
    for (const number of START.keys()) values[number] = columns[number][scenario];
    for (const [number, formula] of FORMULAS) columns[number][scenario] = values[number] = Number(formula(values));
  }
}

function interval(column) {
  const expected = column[0], least = Math.min(...column), inLog = least > 0;
  let down = 0, up = 0;
  for (let factor = 0; factor < DATA.factors; factor++) {
    const ends = [column[1 + factor], column[1 + DATA.factors + factor]];
    const moves = ends.map((end) => (inLog ? Math.log(end / expected) : end - expected));
    down += Math.min(moves[0], moves[1], 0) ** 2;
    up += Math.max(moves[0], moves[1], 0) ** 2;
  }
  down = DATA.stretch * Math.sqrt(down);
  up = DATA.stretch * Math.sqrt(up);
  if (inLog) return [expected * Math.exp(-down), expected * Math.exp(up)];
  return [Math.max(expected - down, least >= 0 ? 0 : -Infinity), expected + up];
}

/* --- figures as people write them: the rules of the command ------------------------------------------------------ */

function fixed(value, places) {
  const exact = Math.abs(value).toFixed(Math.min(places + 40, 100));
  const [cut, rest] = [exact.slice(0, exact.length - 40), exact.slice(exact.length - 40)];
  let text = Math.abs(value).toFixed(places);
  if (places + 40 <= 100 && /^50*$/.test(rest)) { // a tie goes to the even digit
    const down = places ? cut : cut.replace(".", "");
    if (Number(down[down.length - 1]) % 2 === 0) text = down;
  }
  const [whole, part] = text.split(".");
  return (value < 0 ? "-" : "") + whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? "." + part : "");
}

function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e15) {
    const [mantissa, power] = value.toExponential(2).split("e");
    const plain = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
    return plain + "e" + power[0] + power.slice(1).padStart(2, "0");
  }
  const places = Math.max(2 - Math.floor(Math.log10(size)), 0);
  const text = fixed(value, places);
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

const W = DATA.words;
const fitting = (value, names) => names.find(([size]) => Math.abs(value) >= size * 0.9995) || names[names.length - 1];

function scale(value, unit) {
  if (unit === "s") { const [size, name] = fitting(value, W.time); return [size, " " + name]; }
  if (unit === "gCO2e") return fitting(value, W.emissions);
  if (unit === "J") return fitting(value, W.energy);
  if (W.siUnits.includes(unit)) { const [size, name] = fitting(value, W.si); return [size, ` ${name}${unit}`]; }
  const [size, name] = fitting(value, unit === "h" ? W.hours : W.money);
  return [size, name + (["1", "token", "USD"].includes(unit) ? "" : " " + unit)];
}

function named(unit, value) {
  if (unit.startsWith("1/")) return unit.length === 3 ? unit.slice(1) : " a " + unit.slice(2);
  return unit === "1" ? "" : ` ${unit}${W.counted.includes(unit) && value !== 1 ? "s" : ""}`;
}

function even(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2 ? 1 : 0) : Math.round(value);
}

function unbroken(text) {
  return Object.assign(document.createElement("span"), { textContent: text });
}

function human(column, fullUnit, spread) {
  const value = column[0];
  if (!Number.isFinite(value)) return "unknown";
  const unit = fullUnit.replace(/\/month$/, "");
  if (value === 0) return unit === "USD" ? "$0" : "0";
  let [size, suffix] = scale(value, unit);
  if (suffix.endsWith(" " + unit) && (W.counted.includes(unit) || unit.startsWith("1/")))
    suffix = suffix.slice(0, -unit.length - 1) + named(unit, value / size);
  const text = `${value < 0 ? "-" : ""}${unit === "USD" ? "$" : ""}${digits(Math.abs(value) / size)}${suffix}`;
  let [low, high] = interval(column);
  if (fullUnit === "1" && value >= 1 && column.every((one) => one % 1 === 0)) [low, high] = [Math.max(even(low), 1), even(high)];
  if (!spread || Math.abs(low - high) <= 5e-3 * Math.max(Math.abs(low), Math.abs(high))) return text;
  return `${text} (${end(low, unit, size)}${low < 0 ? " to " : "-"}${end(high, unit, size)})`;
}

function end(value, unit, size) {
  let [own, suffix] = scale(value, unit);
  const share = Math.abs(value) / size, physical = ["s", "gCO2e", ...W.siUnits].includes(unit);
  if ((value === 0 || (share >= 0.01 && share < 1000)) && (size === own || physical)) {
    own = size;
    if (physical) suffix = "";
  }
  const plain = unit === "s" || !suffix.endsWith(" " + unit) ? suffix : suffix.slice(0, -unit.length - 1);
  return digits(value / own) + plain.replaceAll(" ", "");
}

/* --- the page ---------------------------------------------------------------------------------------------------- */

function show() {
  for (const place of document.querySelectorAll("[data-q]")) {
    const number = Number(place.dataset.q);
    const [value, spread] = human(columns[number], DATA.figures[number], place.dataset.plain === undefined).split(" (");
    place.replaceChildren(unbroken(value), ...(spread ? [" ", unbroken(`(${spread}`)] : []));
  }
  bars();
  verdict();
  document.getElementById("moved").textContent = [...MOVED.values()].map(said).filter(Boolean).join(" ");
  document.body.classList.toggle("changed", MOVED.size > 0);
}

/* How the command is told the same. */
function said(one) {
  if (!one.option) return "";
  return one.option + (one.option.startsWith("--set") && one.low < one.high ? [one.low, one.value, one.high].join("..") : one.value);
}

function bars() {
  const all = [...document.querySelectorAll("svg.bar")].filter((one) => Number.isFinite(columns[one.dataset.of][0]));
  const most = Math.max(...all.map((one) => interval(columns[one.dataset.of])[1]), 0) || 1;
  for (const one of all) {
    const [low, high] = interval(columns[one.dataset.of]), at = (value) => (100 * value) / most;
    const [range, dot] = one.children;
    range.setAttribute("x", at(low));
    range.setAttribute("width", Math.max(at(high) - at(low), 0.5));
    dot.setAttribute("x", at(columns[one.dataset.of][0]) - 0.4);
  }
}

function verdict() {
  const place = document.getElementById("verdict");
  if (!place) return;
  const options = [...place.querySelectorAll("[data-option]")].filter((one) => Number.isFinite(columns[one.dataset.option][0]));
  options.sort((a, b) => columns[a.dataset.option][0] - columns[b.dataset.option][0]);
  for (const one of place.querySelectorAll("[data-option]")) one.hidden = one !== options[0];
}

function settle(row, value, input) {
  const base = DATA.inputs[row.dataset.input];
  const whole = (number) => (base.whole ? Math.round(number) : number);
  const inside = (number) => Math.min(Math.max(whole(number), base.least), base.most);
  const moved = { ...base, value: inside(value) };
  const ratio = base.value ? moved.value / base.value : 1;
  moved.low = Math.min(inside(base.low * ratio), moved.value);
  moved.high = Math.max(inside(base.high * ratio), moved.value);
  if (moved.value === base.value) { moved.low = base.low; moved.high = base.high; MOVED.delete(Number(row.dataset.input)); }
  else MOVED.set(Number(row.dataset.input), moved);
  const [slider, number] = row.querySelectorAll("input");
  if (input !== slider) slider.value = place(base, moved.value);
  if (input !== number) number.value = Number(moved.value.toPrecision(6));
  slider.setAttribute("aria-valuetext", `${Number(moved.value.toPrecision(4))} ${row.dataset.unit}`);
}

/* A slider of a thousand places: by ratio where the ends are far apart, even otherwise. */
function span(base) {
  if (base.value > 0 && base.most > 4 * base.value)
    return { low: Math.max(base.least, base.value / 10) || base.value / 10, high: Math.min(base.most, base.value * 10), log: true };
  return { low: base.least, high: Math.min(base.most, base.value > 0 ? base.value * 10 : base.most), log: false };
}
function place(base, value) {
  const { low, high, log } = span(base), share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  return Math.round(1000 * Math.min(Math.max(share, 0), 1));
}
function valueAt(base, step) {
  const { low, high, log } = span(base), share = step / 1000;
  return Number((log ? low * (high / low) ** share : low + (high - low) * share).toPrecision(3));
}

for (const entry of DATA.leaves) START.set(entry[0], leafColumn(entry));
for (const row of document.querySelectorAll("[data-input]")) {
  const base = DATA.inputs[row.dataset.input], [slider, number] = row.querySelectorAll("input");
  slider.value = place(base, base.value);
  slider.addEventListener("input", () => update(row, valueAt(base, Number(slider.value)), slider));
  number.addEventListener("change", () => { if (number.value !== "") update(row, Number(number.value), number); });
}
function update(row, value, input) { settle(row, value, input); recalculate(); show(); }
document.getElementById("reset").addEventListener("click", () => {
  for (const row of document.querySelectorAll("[data-input]")) settle(row, DATA.inputs[row.dataset.input].value, null);
  recalculate();
  show();
});
document.documentElement.classList.add("scripted");
recalculate();
