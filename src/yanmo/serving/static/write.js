"use strict";

// English; the Chinese of each stands in the catalogue that zh.js is made from.
const WORDS = {
  docs: "API",
  labelers: "Models that label",
  model: "Model",
  key: "API key",
  prompt: "Prompt",
  temperature: "Temperature",
  topP: "Top p",
  length: "Tokens",
  seed: "Seed",
  go: "Write",
  stop: "Stop",
  shortcut: "Ctrl + Enter writes",
  lost: "The service does not answer.",
  tokens: "tokens",
  first: "first after",
  speed: "tokens a second",
  ended_stop: "ended by itself",
  ended_length: "cut at its length",
  ended_stopped: "stopped",
};
const NUM_TOP = 4;
const $ = (id) => document.getElementById(id);
const state = { controller: null };
const say = (word) => tell(WORDS[word]);

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function translate() {
  showLanguage();
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
}

function headers() {
  return { "accept-language": page.language, ...($("key").value ? { authorization: `Bearer ${$("key").value}` } : {}) };
}

function complain(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text ?? "";
}

async function explain(response) {
  if (response.status === 401) $("key-row").hidden = false;
  const told = await response.json().catch(() => null);
  return told?.error?.message ?? told?.detail ?? say("lost");
}

async function loadModels() {
  try {
    const response = await fetch("v1/models", { headers: headers() });
    if (!response.ok) return complain(await explain(response));
    complain();
    const models = (await response.json()).models;
    const writers = models.filter((one) => one.format === "decoder");
    $("labelers").hidden = writers.length === models.length;
    $("model").replaceChildren(...writers.map((one) => make("option", one.name)));
  } catch {
    complain(say("lost"));
  }
}

const percent = (logprob) => `${(100 * Math.exp(logprob)).toPrecision(2)} %`;

// A token's text; whoever points at it sees how probable it was, and what else could have stood there.
function showToken(choice) {
  const logprobs = choice.logprobs, last = logprobs?.token_logprobs.at(-1);
  if (!choice.text) return;
  const token = make("span", choice.text, "token");
  if (last !== undefined && last !== null) {
    const others = Object.entries(logprobs.top_logprobs.at(-1) ?? {}).map(([name, value]) => `${JSON.stringify(name)} ${percent(value)}`);
    token.title = [percent(last), ...others].join("\n");
    token.style.setProperty("--doubt", (1 - Math.exp(last)).toFixed(2));
  }
  $("written").append(token);
}

async function write(event) {
  event.preventDefault();
  state.controller?.abort();
  const controller = new AbortController(), begin = performance.now();
  state.controller = controller;
  const told = { count: 0, first: 0, ending: "stopped" };
  const body = {
    model: $("model").value, prompt: $("prompt").value, stream: true, logprobs: NUM_TOP, max_tokens: Number($("length").value),
    temperature: Number($("temperature").value), top_p: Number($("top-p").value),
    ...($("seed").value === "" ? {} : { seed: Number($("seed").value) }),
  };
  $("written").replaceChildren(make("span", $("prompt").value, "soft"));
  $("told").hidden = true;
  $("stop").disabled = false;
  complain();
  try {
    const request = { method: "POST", headers: { "content-type": "application/json", ...headers() }, body: JSON.stringify(body) };
    const response = await fetch("v1/completions", { ...request, signal: controller.signal });
    if (!response.ok) return complain(await explain(response));
    for await (const found of events(response)) {
      if (found.error) return complain(found.error.message);
      told.first ||= performance.now() - begin;
      for (const choice of found.choices) {
        told.count += choice.logprobs?.tokens.length ?? 0;
        told.ending = choice.finish_reason ?? told.ending;
        showToken(choice);
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") complain(say("lost"));
  } finally {
    if (state.controller === controller) finish(told, performance.now() - begin);
  }
}

function finish(told, took) {
  state.controller = null;
  $("stop").disabled = true;
  if (!told.count) return;
  const speed = told.count > 1 ? (1000 * (told.count - 1)) / Math.max(took - told.first, 1) : 0;
  const parts = [`${told.count} ${say("tokens")}`, `${say("first")} ${told.first.toFixed(0)} ms`];
  if (speed) parts.push(`${speed.toFixed(0)} ${say("speed")}`);
  $("told").textContent = [...parts, tell(WORDS[`ended_${told.ending}`] ?? WORDS.ended_stop)].join(" · ");
  $("told").hidden = false;
}

$("ask").addEventListener("submit", write);
$("stop").addEventListener("click", () => state.controller?.abort());
$("prompt").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit(); });
for (const name of ["temperature", "top-p"]) $(name).addEventListener("input", () => { $(`${name}-value`).textContent = $(name).value; });
$("language").addEventListener("click", () => { changeLanguage(); translate(); });
$("key").addEventListener("change", loadModels);
translate();
loadModels();
