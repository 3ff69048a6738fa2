"use strict";
/* Later answers without a new page: every change asks /answer and puts what comes in place of the last one. */
const form = document.getElementById("question");
const working = document.getElementById("working");
const WAIT_MS = 30;
let asking = null, timer = 0;

if (form) {
  document.documentElement.classList.add("scripted");
  for (const input of form.querySelectorAll("input[data-value]")) slider(input);
  form.addEventListener("input", (event) => { if (event.target.name) { clearTimeout(timer); timer = setTimeout(ask, WAIT_MS); } });
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  finder();
}
document.addEventListener("click", copy);
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

function query() {
  const pairs = [...new FormData(form)].filter(([, value]) => typeof value === "string" && value.trim() !== "");
  return new URLSearchParams(pairs);
}

async function ask() {
  if (asking) asking.abort();
  asking = new AbortController();
  const config = document.getElementById("config"), asked = query();
  working.textContent = "…";
  try {
    const response = config ? await post(asked, config.value) : await fetch(`/answer?${asked}`, { signal: asking.signal });
    const place = document.getElementById("answer");
    const open = new Set([...place.querySelectorAll("details[open] > summary")].map((one) => one.textContent));
    const held = document.createElement("template");
    held.innerHTML = await response.text();
    const next = held.content.querySelector("#answer");
    if (!next) throw new Error(`status ${response.status}`);
    for (const one of next.querySelectorAll("details > summary")) if (open.has(one.textContent)) one.parentElement.open = true;
    place.replaceWith(next);
    const link = document.getElementById("say-link");
    if (link) history.replaceState(null, "", link.textContent.slice(link.textContent.indexOf("/?")));
    working.textContent = "";
  } catch (error) {
    if (error.name !== "AbortError") working.textContent = String(error.message || error);
  }
}

function post(asked, text) {
  const body = new FormData();
  for (const [name, value] of asked) body.append(name, value);
  body.append("config_text", text);
  return fetch("/answer", { method: "POST", body, signal: asking.signal });
}

/* A slider beside a number: by ratio where the bounds are far apart, even otherwise. */
function slider(input) {
  const [least, most, usual] = [input.dataset.least, input.dataset.most, input.dataset.value].map(Number);
  const log = usual > 0 && most > 4 * usual;
  const low = log ? Math.max(least, usual / 30) || usual / 30 : least, high = Math.min(most, usual > 0 ? usual * 30 : most);
  const range = document.createElement("input");
  Object.assign(range, { type: "range", min: 0, max: 1000, tabIndex: 0 });
  range.setAttribute("aria-label", document.querySelector(`label[for="${CSS.escape(input.id)}"]`).textContent);
  const place = (value) => 1000 * (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  const follow = () => { const value = Number(input.value || usual); if (Number.isFinite(value)) range.value = place(value); };
  range.addEventListener("input", () => {
    const share = range.value / 1000, value = log ? low * (high / low) ** share : low + (high - low) * share;
    input.value = Number(value.toPrecision(2));
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  input.addEventListener("input", () => { if (document.activeElement !== range) follow(); });
  follow();
  input.parentElement.append(range);
}

/* Fields that hold the words looked for; their groups open meanwhile. */
function finder() {
  const find = document.getElementById("find");
  find.parentElement.hidden = false;
  find.addEventListener("input", () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const field of form.querySelectorAll("[data-words]"))
      field.hidden = !words.every((word) => field.dataset.words.includes(word));
    if (words.length) for (const group of form.querySelectorAll("details.group")) group.open = true;
  });
}

async function copy(event) {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  try { await navigator.clipboard.writeText(text); button.textContent = "✓"; }
  catch { getSelection().selectAllChildren(document.getElementById(button.dataset.copy)); }
}
