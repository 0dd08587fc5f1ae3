"use strict";

// English; the Chinese of each stands in the catalogue that zh.js is made from.
const WORDS = {
  docs: "API",
  writers: "Models that write",
  model: "Model",
  key: "API key",
  texts: "Texts, one a line",
  questions: "Questions, one a line: passage, tab, question",
  pairs: "Pairs, one a line: first text, tab, second text",
  go: "Ask",
  stop: "Stop",
  stopped: "stopped",
  threshold: "Sure enough from",
  shortcut: "Ctrl + Enter asks",
  file: "A whole file",
  choose: "Choose a file",
  drop: "Or drop a CSV file here; its first line has the names of the columns.",
  column: "Column of texts",
  run: "Predict",
  download: "Download with predictions",
  card: "Model",
  metrics: "Now",
  noMetrics: "Metrics need a key that may admin, or are on a port of their own.",
  changed: "The inputs have changed: what is asked differs from what the model was made for.",
  none: "no answer: not sure enough",
  truncated: "only the beginning was read",
  stage: "stage {number}",
  took: "Took",
  queue: "queue",
  tokenize: "tokenize",
  inference: "inference",
  nothing: "Type a text first.",
  lost: "The service does not answer.",
  rows: "rows",
  done: "rows answered",
  empty: "The file has no rows.",
  tooLarge: "The file is larger than 50 MB.",
  name: "Name",
  digest: "Digest",
  task: "Task",
  labels: "Labels",
  format: "Format",
  max_length: "Reads at most",
  tokens: "tokens",
  all: "all of a text",
  size: "Size",
  rate: "requests a second",
  median: "median ms",
  waiting: "tokens waiting",
  refused: "refused",
  lines: "texts answered",
  workers: "workers",
  inputs: "Inputs",
  watched: "held against the validation texts; a change is said above",
  unwatched: "not watched: the model has no profile",
  wholeCard: "Model card",
  figures: "Measured",
  examples: "For example:",
  allLabels: "Show all {count} labels",
  fewLabels: "Show fewer",
  asked: "texts asked",
  nothingFound: "nothing found",
  allSpans: "Show all {count} marks",
  copy: "Copy as JSON",
  copied: "Copied",
  dictionary: "dictionary",
  rule: "rule",
  notCopied: "The browser does not let this page copy.",
};
// What people write to shops and services: any model has something to say about it.
const EXAMPLES = [
  ["When will my order arrive?", "Great quality, thank you!", "I was charged twice for the same thing."],
  ["什么时候能到货？", "质量很好，谢谢！", "同一笔订单扣了两次钱。"],
];
// Of models that mark parts of a text: there is something of each usual kind to be found.
const MARKED_EXAMPLES = [
  ["Priya Nair from Leipzig ordered the lamp on 3 March, order SO-48213.", "Is May still working for you? She helped me in May.", "I never got the invoice for Alder Dental."],
  ["陈建国3月5日买的台灯寄到武汉，订单A88213。", "小米的充电头还没到，小米粥都凉了。", "顺达物流把我的包裹放在南京路了。"],
];
// Of models that find answers: a passage, a tab, and what is asked about it.
const QUESTIONS = [
  ["The museum opens at nine and closes at six. A ticket costs 12 euros.\tHow much is a ticket?", "The ferry leaves the north pier at 7:15 every morning.\tWhen does the ferry leave?"],
  ["博物馆每天上午九点开门，下午五点关门。门票30元。\t门票多少钱？", "渡轮每天七点一刻从北码头出发。\t渡轮从哪里出发？"],
];
const NUM_COLORS = 8;
const MAX_BYTES = 50e6, PART_ROWS = 256, PART_CHARACTERS = 1e5, MAX_BARS = 8, MAX_LABELS = 40, MAX_STREAMS = 4, EVERY_MS = 2000, INPUTS_EVERY_MS = 30_000;
const $ = (id) => document.getElementById(id);
const state = { models: [], rows: [], delimiter: ",", before: null, url: null, controller: null };
const say = (word, values) => tell(WORDS[word], values);
const model = () => state.models[$("model").selectedIndex];
const isQuestion = () => model()?.task === "span";
const isPair = () => model()?.task === "text_pair" || isQuestion();
const writesTexts = () => model()?.task === "text_to_text";
const marksParts = () => model()?.task === "token_labels";
// What the tags of units are about: B-person and I-person are one kind, and tags without a kind are those of words.
const isSegmentation = (labels) => labels.every((label) => /^[BMES]$/.test(label));
const kindOf = (label) => label.replace(/^[BIMES]-(?=.)/, "");
const kindsOf = (labels) => (isSegmentation(labels) ? ["word"] : [...new Set(labels.map(kindOf))].filter((kind) => kind !== "O").sort());

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function translate() {
  showLanguage();
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  document.querySelector('label[for="texts"]').textContent = say(isQuestion() ? "questions" : isPair() ? "pairs" : "texts");
  $("stop").hidden = !model()?.streams;
  showExamples();
  showCard();
}

function showExamples() {
  const texts = (marksParts() ? MARKED_EXAMPLES : EXAMPLES)[page.language === "zh" ? 1 : 0];
  const shown = isQuestion() ? QUESTIONS[page.language === "zh" ? 1 : 0] : isPair() ? texts.map((text, place) => `${text}\t${texts[(place + 1) % texts.length]}`) : texts;
  const buttons = shown.map((text) => {
    const button = make("button", text, "more");
    button.type = "button";
    button.addEventListener("click", () => {
      const before = $("texts").value.trimEnd();
      $("texts").value = before ? `${before}\n${text}` : text;
      $("texts").focus();
    });
    return button;
  });
  $("examples").replaceChildren($("examples").firstElementChild, ...buttons);
  $("examples").hidden = !state.models.length;
}

// Some of a list, and a button that shows all of it.
function shortened(rows, limit, show, wordOfAll = "allLabels") {
  const frame = make("div"), button = make("button", undefined, "more");
  let isWhole = false;
  const draw = () => {
    const shown = show(isWhole ? rows : rows.slice(0, limit));
    button.textContent = isWhole ? say("fewLabels") : say(wordOfAll, { count: rows.length });
    button.setAttribute("aria-expanded", isWhole);
    frame.replaceChildren(shown, ...(rows.length > limit ? [button] : []));
  };
  button.type = "button";
  button.addEventListener("click", () => { isWhole = !isWhole; draw(); button.focus(); });
  draw();
  return frame;
}

function showBars(shares) {
  const bars = make("div", undefined, "bars");
  for (const [name, share] of shares) {
    const track = make("span", undefined, "track"), bar = make("i");
    bar.style.width = `${100 * share}%`;
    track.append(bar);
    bars.append(make("span", name), track, make("span", `${(100 * share).toFixed(1)} %`));
  }
  return bars;
}

async function request(method, path, body, signal) {
  const headers = { "accept-language": page.language, ...(body === undefined ? {} : { "content-type": "application/json" }) };
  if ($("key").value) headers.authorization = `Bearer ${$("key").value}`;
  const response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.status === 401) $("key-row").hidden = false;
  return response;
}

async function call(method, path, body) {
  const begin = performance.now();
  const response = await request(method, path, body);
  const text = await response.text();
  const timing = Object.fromEntries((response.headers.get("server-timing") ?? "").split(", ").filter(Boolean).map((one) => one.split(";dur=")));
  return { status: response.status, text, timing, retry: Number(response.headers.get("retry-after") ?? 1), took: performance.now() - begin };
}

function explain(reply) {
  try {
    const problem = JSON.parse(reply.text);
    return `${problem.title} ${problem.detail}`;
  } catch {
    return say("lost");
  }
}

const predictPath = () => `v1/models/${encodeURIComponent(model().name)}/predict`;

async function predict(texts, { isPatient, ...options }) {
  const columns = isPair()
    ? { texts: texts.map((one) => one[0]), texts_b: texts.map((one) => one[1]) }
    : { texts };
  for (;;) {
    const reply = await call("POST", predictPath(), { ...columns, ...options });
    if (reply.status === 200) return { ...JSON.parse(reply.text), reply };
    if (!isPatient || ![429, 503].includes(reply.status)) throw new Error(explain(reply));
    await new Promise((done) => setTimeout(done, 1000 * reply.retry));
  }
}

// A text with its parts marked. Places count characters as people do, and JavaScript's strings do not.
function showMarks(text, entities) {
  const { labels } = model(), kinds = kindsOf(labels), asWords = isSegmentation(labels);
  const characters = [...text], marked = make("p", undefined, asWords ? "marked words" : "marked");
  let behind = 0;
  for (const { entity_group: kind, start, end, score } of entities) {
    marked.append(characters.slice(behind, start).join(""));
    const part = make(asWords ? "span" : "mark", characters.slice(start, end).join(""), asWords ? "word" : `kind-${kinds.indexOf(kind) % NUM_COLORS}`);
    part.title = `${kind} · ${(100 * score).toFixed(1)} % · ${start}–${end}`;
    if (!asWords) part.append(make("span", kind, "tag"));
    marked.append(part);
    behind = end;
  }
  marked.append(characters.slice(behind).join(""));
  return marked;
}

async function copy(text) {
  // Where a page came over plain HTTP from another machine, the browser has no clipboard for it, but an old way.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = make("textarea", text);
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  if (!isDone) throw new Error(say("notCopied"));
}

function copyButton(value) {
  const button = make("button", say("copy"), "more");
  button.type = "button";
  button.addEventListener("click", async () => {
    try {
      await copy(JSON.stringify(value, null, 2));
      button.textContent = say("copied");
    } catch {
      complain(say("notCopied"));
    }
  });
  return button;
}

function showParts(text, answer) {
  const item = make("li"), { entities } = answer;
  item.append(showMarks(text, entities));
  if (!entities.length) item.append(make("span", say("nothingFound"), "soft"));
  else if (!isSegmentation(model().labels)) {
    // Who found it is told where it was not the model.
    const about = (one) => [one.word, one.entity_group, ...(one.source ? [say(one.source)] : [])].join(" · ");
    const sure = entities.map((one) => [about(one), one.score]);
    item.append(shortened(sure, MAX_BARS, showBars, "allSpans"));
  }
  const row = make("div", undefined, "row");
  row.append(copyButton({ text, entities }), make("span", notesOf(answer).join(" · "), "soft"));
  item.append(row);
  return item;
}

// The passage with its answer marked, and the others that were near it.
function showFound([passage, question], answer) {
  const item = make("li"), { answers, prediction } = answer;
  item.append(make("p", question, "asked"));
  const [best] = answers, found = prediction === null ? [] : [{ ...best, entity_group: "answer" }];
  item.append(showMarks(passage, found));
  item.append(make("span", prediction ?? say("none"), "label"));
  item.append(shortened(answers.map((one) => [one.answer, one.score]), MAX_BARS, showBars, "allSpans"));
  const notes = notesOf(answer);
  if (notes.length) item.append(make("span", notes.join(" · "), "soft"));
  return item;
}

function notesOf(answer) {
  const notes = [];
  if (answer.stage !== undefined) notes.push(say("stage", { number: answer.stage }));
  if (answer.truncated) notes.push(say("truncated"));
  return notes;
}

const TREE = { letter: 9, wide: 16, gap: 22, step: 24, line: 18 };

function draw(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// An arc is higher than all that it spans.
function arcHeights(words) {
  const heights = new Map(), reached = new Array(words.length + 2).fill(0);
  const arcs = words.filter((one) => one.head).map((one) => [one, Math.min(one.id, one.head), Math.max(one.id, one.head)]);
  for (const [one, low, high] of arcs.sort((a, b) => a[2] - a[1] - (b[2] - b[1]))) {
    const height = 1 + Math.max(...reached.slice(low, high));
    heights.set(one.id, height);
    reached.fill(height, low, high);
  }
  return heights;
}

// The words of a sentence with an arc from every head to its words.
function drawTree(words) {
  const { letter, wide, gap, step, line } = TREE, heights = arcHeights(words), centers = [0];
  const widthOf = (text) => [...text].reduce((sum, one) => sum + (one.codePointAt(0) >= 0x2e80 ? wide : letter), 0);
  let left = gap;
  for (const one of words) {
    const width = Math.max(widthOf(one.word), widthOf(one.relation));
    centers.push(left + width / 2);
    left += width + gap;
  }
  const top = line + step * (1 + Math.max(0, ...heights.values())), svg = draw("svg", { class: "tree", role: "img", width: left, height: top + line });
  for (const one of words) {
    const end = centers[one.id], base = top - line, start = one.head ? centers[one.head] : end;
    // The arc of the root rises above all others.
    const high = one.head ? base - step * heights.get(one.id) : line - 4;
    const group = draw("g", {});
    group.append(draw("title", {}, `${one.relation} · ${(100 * one.score).toFixed(1)} %`));
    group.append(draw("path", { d: one.head ? `M${start} ${base}V${high}H${end}V${base}` : `M${end} ${high}V${base}` }));
    group.append(draw("text", { x: (start + end) / 2, y: high - 3, class: "relation" }, one.relation));
    svg.append(group, draw("text", { x: end, y: top }, one.word));
  }
  svg.setAttribute("aria-label", words.map((one) => `${one.word} ${one.relation} ${one.head}`).join(", "));
  return svg;
}

function showTree(text, answer) {
  const item = make("li"), frame = make("div", undefined, "drawing"), row = make("div", undefined, "row");
  if (answer.words.length) frame.append(drawTree(answer.words));
  else frame.append(make("span", say("nothingFound"), "soft"));
  frame.tabIndex = 0;
  row.append(copyButton({ text, words: answer.words }), make("span", notesOf(answer).join(" · "), "soft"));
  item.append(make("p", text, "asked"), frame, row);
  return item;
}

function showVector(text, answer) {
  const item = make("li"), row = make("div", null, "row");
  const shown = answer.vector.slice(0, 8).map((one) => one.toFixed(4)).join(", ");
  row.append(copyButton({ text, vector: answer.vector }), make("span", notesOf(answer).join(" · "), "soft"));
  item.append(make("p", text, "asked"), make("p", `[${shown}, …] (${answer.vector.length})`), row);
  return item;
}

// The text and what was written for it, side by side, and below what could have been written.
function showWritten(text, answer) {
  const item = make("li"), pair = make("div", undefined, "beside"), { candidates, prediction } = answer;
  pair.append(make("p", text, "asked"), make("p", prediction ?? say("none"), "written"));
  item.append(pair);
  if (candidates?.length > 1) item.append(shortened(candidates.map((one) => [one.text, Math.exp(one.log_likelihood)]), MAX_BARS, showBars));
  const row = make("div", undefined, "row");
  row.append(copyButton({ text, ...answer }), make("span", notesOf(answer).join(" · "), "soft"));
  item.append(row);
  return item;
}

// What is written for a text appears while it is written, and with all that is known of it when it is whole.
async function growAnswer(text, signal) {
  const item = make("li"), pair = make("div", undefined, "beside"), written = make("p", "", "written");
  pair.append(make("p", text, "asked"), written);
  item.append(pair);
  $("answers").append(item);
  try {
    const response = await request("POST", predictPath(), { text, stream: true, top_k: MAX_BARS }, signal);
    if (!response.ok) throw new Error(explain({ text: await response.text() }));
    for await (const { error, choices, answer } of events(response)) {
      if (error) throw new Error(error.message);
      for (const choice of choices) written.append(choice.text);
      if (answer) item.replaceWith(showWritten(text, answer));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    item.append(make("span", say("stopped"), "soft"));
  }
}

async function growAnswers(texts, controller) {
  const begin = performance.now();
  $("stop").disabled = false;
  $("times").hidden = true;
  $("answers").replaceChildren();
  try {
    await Promise.all(texts.map((text) => growAnswer(text, controller.signal)));
  } finally {
    // Where one could not be written, the others are for nobody.
    controller.abort();
    if (state.controller === controller) $("stop").disabled = true;
  }
  if (state.controller !== controller) return;
  showTimes(`${say("took")} ${(performance.now() - begin).toFixed(1)} ms`);
  showMetrics();
}

function showAnswer(asked, answer) {
  if (answer.log_likelihood !== undefined) return showWritten(asked, answer);
  if (answer.words !== undefined) return showTree(asked, answer);
  if (answer.entities !== undefined) return showParts(asked, answer);
  if (answer.answers !== undefined) return showFound(asked, answer);
  if (answer.vector !== undefined) return showVector(asked, answer);
  const item = make("li");
  item.append(make("p", Array.isArray(asked) ? asked.join("\n") : asked, "asked"));
  const label = Array.isArray(answer.prediction) ? answer.prediction.join(", ") : answer.prediction;
  item.append(make("span", label === null || label === "" ? say("none") : label, "label"));
  const best = Object.entries(answer.probabilities).sort((one, other) => other[1] - one[1]);
  item.append(shortened(best, MAX_BARS, showBars));
  const notes = notesOf(answer);
  if (notes.length) item.append(make("span", notes.join(" · "), "soft"));
  return item;
}

function complain(text) {
  $("problem").textContent = text ?? "";
  $("problem").hidden = !text;
}

function showTimes(text) {
  $("times").textContent = text;
  $("times").hidden = false;
}

async function ask(event) {
  event.preventDefault();
  const lines = $("texts").value.split("\n").filter((line) => line.trim());
  if (!lines.length) return complain(say("nothing"));
  const texts = isPair() ? lines.map((line) => [line.split("\t")[0], line.split("\t").slice(1).join(" ")]) : lines;
  const threshold = Number($("threshold").value);
  // Whatever was asked before is for nobody now, and must not change what this shows.
  const controller = new AbortController();
  state.controller?.abort();
  state.controller = controller;
  $("stop").disabled = true;
  $("go").disabled = true;
  complain();
  try {
    if (model().streams && !threshold && texts.length <= MAX_STREAMS) return await growAnswers(texts, controller);
    // A service takes so many at a time: a longer list is asked in parts, whose times add up.
    const items = [], timing = {};
    let took = 0;
    for (const part of splitRows(texts, (text) => text)) {
      const options = { ...(threshold ? { threshold } : {}), ...(writesTexts() ? { top_k: MAX_BARS } : {}) };
      const found = await predict(part, { ...options, isPatient: texts.length > part.length });
      if (state.controller !== controller) return;
      found.predictions.forEach((answer, place) => items.push(showAnswer(part[place], answer)));
      for (const [name, ms] of Object.entries(found.reply.timing)) timing[name] = (timing[name] ?? 0) + Number(ms);
      took += found.reply.took;
      if (texts.length > part.length) showTimes(`${items.length} / ${texts.length} ${say("asked")}`);
    }
    $("answers").replaceChildren(...items);
    const parts = Object.entries(timing).map(([name, ms]) => `${say(name)} ${Number(ms.toFixed(3))} ms`);
    showTimes([`${say("took")} ${took.toFixed(1)} ms`, ...parts].join(" · "));
    showMetrics();
  } catch (error) {
    if (state.controller === controller) complain(error instanceof TypeError ? say("lost") : error.message);
  } finally {
    if (state.controller === controller) $("go").disabled = false;
  }
}

// What stands most often in the first line: Excel writes semicolons where the comma is for fractions.
function delimiterOf(text) {
  const line = text.slice(0, text.search(/[\r\n]|$/)).replaceAll(/"[^"]*"/g, "");
  return [",", ";", "\t"].reduce((best, one) => (line.split(one).length > line.split(best).length ? one : best));
}

function parseCsv(text, delimiter) {
  const rows = [];
  let row = [], field = "", quoted = false;
  for (let place = text.charCodeAt(0) === 0xfeff ? 1 : 0; place < text.length; place++) {
    const one = text[place];
    if (quoted) {
      if (one !== '"') field += one;
      else if (text[place + 1] === '"') { field += '"'; place++; }
      else quoted = false;
    } else if (one === '"' && field === "") quoted = true;
    else if (one === delimiter) { row.push(field); field = ""; }
    else if (one === "\n" || one === "\r") {
      if (one === "\r" && text[place + 1] === "\n") place++;
      row.push(field);
      if (row.length > 1 || row[0] !== "") rows.push(row);
      row = []; field = "";
    } else field += one;
  }
  row.push(field);
  if (row.length > 1 || row[0] !== "") rows.push(row);
  return rows;
}

function writeCsv(rows, delimiter) {
  const quote = (value) => (value.includes(delimiter) || /["\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return "\ufeff" + rows.map((row) => row.map((value) => quote(String(value))).join(delimiter)).join("\r\n") + "\r\n";
}

async function openFile(file) {
  if (!file) return;
  $("download").hidden = $("progress").hidden = true;
  if (file.size > MAX_BYTES) return void ($("csv-said").textContent = say("tooLarge"));
  const text = await file.text();
  state.delimiter = delimiterOf(text);
  state.rows = parseCsv(text, state.delimiter);
  if (state.rows.length < 2) return void ($("csv-said").textContent = say("empty"));
  const names = state.rows[0];
  $("column").replaceChildren(...names.map((name) => make("option", name)));
  const guess = names.findIndex((name) => /text|文本|内容|content|review|评论/i.test(name));
  $("column").selectedIndex = Math.max(guess, 0);
  $("csv-controls").hidden = false;
  $("csv-said").textContent = `${file.name}: ${state.rows.length - 1} ${say("rows")}`;
}

function splitRows(rows, text) {
  const parts = [[]];
  let size = 0;
  for (const row of rows) {
    const part = parts.at(-1), length = String(text(row)).length;
    if (part.length === PART_ROWS || (part.length && size + length > PART_CHARACTERS)) {
      parts.push([row]);
      size = length;
    } else {
      part.push(row);
      size += length;
    }
  }
  return parts;
}

// A cell of a file: the label, the labels, the words of a segmentation, or the parts of the text, or its words, as JSON.
function writeAnswer({ prediction, entities, words }) {
  if (words !== undefined) return JSON.stringify(words);
  if (entities !== undefined) return isSegmentation(model().labels) ? entities.map((one) => one.word).join(" ") : JSON.stringify(entities);
  return Array.isArray(prediction) ? prediction.join("|") : prediction ?? "";
}

async function runFile() {
  const [names, ...rows] = state.rows;
  const column = $("column").selectedIndex;
  const text = (row) => (isPair() ? [row[column] ?? "", row[column + 1] ?? ""] : row[column] ?? "");
  const out = [[...names, "prediction", "probability", "truncated"]];
  $("run").disabled = true;
  $("progress").hidden = false;
  try {
    for (const part of splitRows(rows, text)) {
      const found = await predict(part.map(text), { return_probabilities: false, isPatient: true });
      part.forEach((row, place) => {
        const { probability, truncated } = found.predictions[place];
        out.push([...names.map((_, at) => row[at] ?? ""), writeAnswer(found.predictions[place]), probability.toFixed(6), truncated]);
      });
      $("progress").value = (out.length - 1) / rows.length;
    }
    if (state.url) URL.revokeObjectURL(state.url);
    state.url = URL.createObjectURL(new Blob([writeCsv(out, state.delimiter)], { type: "text/csv" }));
    $("download").href = state.url;
    $("download").hidden = false;
    $("csv-said").textContent = `${rows.length} ${say("done")}`;
    showMetrics();
  } catch (error) {
    $("csv-said").textContent = error instanceof TypeError ? say("lost") : error.message;
  } finally {
    $("run").disabled = false;
  }
}

const figureName = (name) => (name.startsWith("valid_") ? tell("valid {score}", { score: tell(name.slice(6).replaceAll("_", " ")) }) : tell(name.replaceAll("_", " ")));

function showCard() {
  const shown = model();
  $("whole-card").hidden = !shown?.card;
  if (!shown) return $("card").replaceChildren();
  const labels = marksParts() ? kindsOf(shown.labels) : shown.labels;
  const figures = Object.entries(shown.figures).map(([name, value]) => `${figureName(name)} ${Number(value.toPrecision(4))}`);
  const rows = {
    name: shown.name, digest: shown.digest.slice(0, 16), task: shown.task, format: `${shown.format} · ${shown.model}`,
    labels: shortened(labels, MAX_LABELS, (some) => make("div", `${labels.length}: ${some.join(", ")}${some.length < labels.length ? " …" : ""}`)),
    max_length: shown.max_length ? `${shown.max_length} ${say("tokens")}` : say("all"), size: `${Number((shown.size_bytes / 1e6).toPrecision(2))} MB`,
    figures: figures.join(" · ") || "–", inputs: say(shown.watches_inputs ? "watched" : "unwatched"),
  };
  $("card").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => {
    const told = make("dd");
    told.append(value);
    return [make("dt", say(name)), told];
  }));
  $("card-text").replaceChildren(...readMarkdown(shown.card));
}

function readMarkdown(text) {
  return text.split(/^```.*$/m).flatMap((part, place) => {
    if (place % 2) return [make("pre", part.trim())];
    return part.split(/\n\s*\n/).map((block) => block.trim()).filter(Boolean).map(readBlock);
  });
}

function readBlock(block) {
  const heading = /^#+ (.*)$/.exec(block);
  if (heading) return make("h3", heading[1]);
  if (!block.startsWith("|")) return make("p", block);
  const table = make("table");
  for (const line of block.split("\n")) {
    const cells = line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
    if (cells.every((cell) => /^:?-*:?$/.test(cell))) continue;
    const row = make("tr");
    row.append(...cells.map((cell) => make("td", cell)));
    table.append(row);
  }
  return table;
}

async function loadModels() {
  try {
    const reply = await call("GET", "v1/models");
    complain(reply.status === 200 ? undefined : explain(reply));
    if (reply.status !== 200) return;
    const chosen = $("model").value;
    const models = JSON.parse(reply.text).models;
    state.models = models.filter((one) => one.format !== "decoder");
    $("writers").hidden = state.models.length === models.length;
    // Of a service where all models write, this page has nothing to ask.
    if (!state.models.length && models.length) return location.replace("write");
    $("model").replaceChildren(...state.models.map((one) => make("option", one.name)));
    if (state.models.some((one) => one.name === chosen)) $("model").value = chosen;
    translate();
    showChanged(state.models);
  } catch {
    complain(say("lost"));
  }
}

function showChanged(models) {
  $("changed").hidden = !models.some((one) => one.inputs_changed);
}

async function watchInputs() {
  if (document.hidden || !state.models.length) return;
  const reply = await call("GET", "v1/models").catch(() => null);
  if (reply?.status === 200) showChanged(JSON.parse(reply.text).models);
}

function readMetrics(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match) found.push({ name: match[1], labels: match[2] ?? "", value: Number(match[3]) });
  }
  const of = (name, part = "") => found.filter((one) => one.name === name && one.labels.includes(part));
  const sum = (name, part) => of(name, part).reduce((total, one) => total + one.value, 0);
  return { of, sum };
}

function medianMs(metrics) {
  const buckets = metrics.of("yanmo_request_seconds_bucket", "predict");
  const counts = new Map();
  for (const { labels, value } of buckets) {
    const bound = /le="([^"]+)"/.exec(labels)[1];
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  const total = counts.get("+Inf") ?? 0;
  for (const [bound, count] of counts) if (total && count >= total / 2) return bound === "+Inf" ? "> 10000" : `≤ ${1000 * Number(bound)}`;
  return "–";
}

async function showMetrics() {
  if (document.hidden) return;
  const reply = await call("GET", "metrics").catch(() => null);
  $("no-metrics").hidden = reply?.status === 200;
  if (reply?.status !== 200) return $("metrics").replaceChildren();
  const metrics = readMetrics(reply.text), now = performance.now(), total = metrics.sum("yanmo_requests_total", "predict");
  const rate = state.before ? (1000 * (total - state.before.total)) / (now - state.before.now) : 0;
  state.before = { total, now };
  const shown = {
    rate: Math.max(rate, 0).toFixed(1), median: medianMs(metrics), lines: metrics.sum("yanmo_confidence_count"),
    waiting: metrics.sum("yanmo_queue_tokens"), refused: metrics.sum("yanmo_refused_total"), workers: metrics.sum("yanmo_workers"),
  };
  $("metrics").replaceChildren(...Object.entries(shown).map(([name, value]) => {
    const item = make("li");
    item.append(make("b", String(value)), make("span", say(name)));
    return item;
  }));
}

$("ask").addEventListener("submit", ask);
$("stop").addEventListener("click", () => state.controller?.abort());
$("texts").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit(); });
$("threshold").addEventListener("input", () => { $("threshold-value").textContent = $("threshold").value; });
$("language").addEventListener("click", () => { changeLanguage(); translate(); loadModels(); showMetrics(); });
$("model").addEventListener("change", translate);
$("key").addEventListener("change", () => { loadModels(); showMetrics(); });
$("csv").addEventListener("change", () => openFile($("csv").files[0]));
$("run").addEventListener("click", runFile);
for (const kind of ["dragenter", "dragover"]) $("drop").addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
for (const kind of ["dragleave", "drop"]) $("drop").addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.remove("over"); });
$("drop").addEventListener("drop", (event) => openFile(event.dataTransfer.files[0]));
translate();
loadModels();
showMetrics();
setInterval(showMetrics, EVERY_MS);
setInterval(watchInputs, INPUTS_EVERY_MS);
