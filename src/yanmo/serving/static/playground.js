"use strict";

const WORDS = {
  en: {
    docs: "API", model: "Model", key: "API key", texts: "Texts, one a line", pairs: "Pairs, one a line: first text, tab, second text",
    go: "Ask", threshold: "Sure enough from", shortcut: "Ctrl + Enter asks", file: "A whole file",
    drop: "Choose or drop a CSV file; its first line has the names of the columns.", column: "Column of texts",
    run: "Predict", download: "Download with predictions", card: "Model", metrics: "Now",
    noMetrics: "Metrics need a key that may admin, or are on a port of their own.",
    changed: "The inputs have changed: what is asked differs from what the model was made for.",
    none: "no answer: not sure enough", truncated: "only the beginning was read", stage: "stage", took: "Took", queue: "queue",
    tokenize: "tokenize", inference: "inference", nothing: "Type a text first.", lost: "The service does not answer.",
    rows: "rows", done: "rows answered", empty: "The file has no rows.", tooLarge: "The file is larger than 50 MB.",
    name: "Name", digest: "Digest", task: "Task", labels: "Labels", format: "Format", max_length: "Reads at most", tokens: "tokens", all: "all of a text", size: "Size",
    rate: "requests a second", median: "median ms", waiting: "tokens waiting", refused: "refused", lines: "texts answered", workers: "workers",
  },
  zh: {
    docs: "接口", model: "模型", key: "接口密钥", texts: "文本，每行一条", pairs: "文本对，每行一对：第一段、制表符、第二段",
    go: "预测", threshold: "至少多确定", shortcut: "Ctrl + Enter 预测", file: "整个文件",
    drop: "选择或拖入 CSV 文件，首行为列名。", column: "文本列",
    run: "预测", download: "下载带预测的文件", card: "模型信息", metrics: "当前状态",
    noMetrics: "查看指标需要管理密钥，或访问单独的管理端口。",
    changed: "输入已变化：现在的文本与模型训练时不同。",
    none: "没有回答：不够确定", truncated: "只读了开头", stage: "第几级", took: "用时", queue: "排队",
    tokenize: "分词", inference: "推理", nothing: "请先输入文本。", lost: "服务没有回应。",
    rows: "行", done: "行已预测", empty: "文件没有数据行。", tooLarge: "文件超过 50 MB。",
    name: "名称", digest: "摘要", task: "任务", labels: "标签", format: "格式", max_length: "最多读取", tokens: "个词元", all: "全文", size: "大小",
    rate: "每秒请求", median: "中位毫秒", waiting: "排队词元", refused: "拒绝", lines: "已回答文本", workers: "工作进程",
  },
};
const MAX_BYTES = 50e6, PART = 256, MAX_BARS = 8, EVERY_MS = 2000;
const $ = (id) => document.getElementById(id);
const state = { language: navigator.language.startsWith("zh") ? "zh" : "en", models: [], rows: [], before: null, url: null };
const say = (word) => WORDS[state.language][word];
const model = () => state.models[$("model").selectedIndex];
const isPair = () => model()?.task === "text_pair";

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function translate() {
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
  $("language").textContent = state.language === "zh" ? "English" : "中文";
  $("language").lang = state.language === "zh" ? "en" : "zh";
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  document.querySelector('label[for="texts"]').textContent = say(isPair() ? "pairs" : "texts");
  showCard();
}

async function call(method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  if ($("key").value) headers.authorization = `Bearer ${$("key").value}`;
  const begin = performance.now();
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
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

async function predict(texts, { isPatient, ...options }) {
  const columns = isPair()
    ? { texts: texts.map((one) => one[0]), texts_b: texts.map((one) => one[1]) }
    : { texts };
  for (;;) {
    const reply = await call("POST", `/v1/models/${encodeURIComponent(model().name)}/predict`, { ...columns, ...options });
    if (reply.status === 200) return { ...JSON.parse(reply.text), reply };
    if (!isPatient || ![429, 503].includes(reply.status)) throw new Error(explain(reply));
    await new Promise((done) => setTimeout(done, 1000 * reply.retry));
  }
}

function showAnswer(asked, answer) {
  const item = make("li");
  item.append(make("p", Array.isArray(asked) ? asked.join("\n") : asked, "asked"));
  const label = Array.isArray(answer.prediction) ? answer.prediction.join(", ") : answer.prediction;
  item.append(make("span", label === null || label === "" ? say("none") : label, "label"));
  const bars = make("div", undefined, "bars");
  const best = Object.entries(answer.probabilities).sort((one, other) => other[1] - one[1]).slice(0, MAX_BARS);
  for (const [name, share] of best) {
    const track = make("span", undefined, "track");
    const bar = make("i");
    bar.style.width = `${100 * share}%`;
    track.append(bar);
    bars.append(make("span", name), track, make("span", `${(100 * share).toFixed(1)} %`));
  }
  item.append(bars);
  const notes = [];
  if (answer.stage !== undefined) notes.push(`${say("stage")} ${answer.stage}`);
  if (answer.truncated) notes.push(say("truncated"));
  if (notes.length) item.append(make("span", notes.join(" · "), "soft"));
  return item;
}

function complain(text) {
  $("problem").textContent = text ?? "";
  $("problem").hidden = !text;
}

async function ask(event) {
  event.preventDefault();
  const lines = $("texts").value.split("\n").filter((line) => line.trim());
  if (!lines.length) return complain(say("nothing"));
  const texts = isPair() ? lines.map((line) => [line.split("\t")[0], line.split("\t").slice(1).join(" ")]) : lines;
  const threshold = Number($("threshold").value);
  $("go").disabled = true;
  complain();
  try {
    const found = await predict(texts, threshold ? { threshold } : {});
    $("answers").replaceChildren(...found.predictions.map((answer, place) => showAnswer(texts[place], answer)));
    const parts = Object.entries(found.reply.timing).map(([name, ms]) => `${say(name)} ${ms} ms`);
    $("times").textContent = `${say("took")} ${found.reply.took.toFixed(1)} ms: ${parts.join(", ")}`;
    $("times").hidden = false;
  } catch (error) {
    complain(error instanceof TypeError ? say("lost") : error.message);
  } finally {
    $("go").disabled = false;
  }
}

function parseCsv(text) {
  const rows = [];
  let row = [], field = "", quoted = false;
  for (let place = text.charCodeAt(0) === 0xfeff ? 1 : 0; place < text.length; place++) {
    const one = text[place];
    if (quoted) {
      if (one !== '"') field += one;
      else if (text[place + 1] === '"') { field += '"'; place++; }
      else quoted = false;
    } else if (one === '"' && field === "") quoted = true;
    else if (one === ",") { row.push(field); field = ""; }
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

function writeCsv(rows) {
  const quote = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return "\ufeff" + rows.map((row) => row.map((value) => quote(String(value))).join(",")).join("\r\n") + "\r\n";
}

async function openFile(file) {
  if (!file) return;
  $("download").hidden = $("progress").hidden = true;
  if (file.size > MAX_BYTES) return void ($("csv-said").textContent = say("tooLarge"));
  state.rows = parseCsv(await file.text());
  if (state.rows.length < 2) return void ($("csv-said").textContent = say("empty"));
  const names = state.rows[0];
  $("column").replaceChildren(...names.map((name) => make("option", name)));
  const guess = names.findIndex((name) => /text|文本|内容|content|review|评论/i.test(name));
  $("column").selectedIndex = Math.max(guess, 0);
  $("csv-controls").hidden = false;
  $("csv-said").textContent = `${file.name}: ${state.rows.length - 1} ${say("rows")}`;
}

async function runFile() {
  const [names, ...rows] = state.rows;
  const column = $("column").selectedIndex;
  const text = (row) => (isPair() ? [row[column] ?? "", row[column + 1] ?? ""] : row[column] ?? "");
  const out = [[...names, "prediction", "probability", "truncated"]];
  $("run").disabled = true;
  $("progress").hidden = false;
  try {
    for (let start = 0; start < rows.length; start += PART) {
      const part = rows.slice(start, start + PART);
      const found = await predict(part.map(text), { return_probabilities: false, isPatient: true });
      part.forEach((row, place) => {
        const { prediction, probability, truncated } = found.predictions[place];
        out.push([...names.map((_, at) => row[at] ?? ""), Array.isArray(prediction) ? prediction.join("|") : prediction ?? "", probability.toFixed(6), truncated]);
      });
      $("progress").value = (start + part.length) / rows.length;
    }
    if (state.url) URL.revokeObjectURL(state.url);
    state.url = URL.createObjectURL(new Blob([writeCsv(out)], { type: "text/csv" }));
    $("download").href = state.url;
    $("download").hidden = false;
    $("csv-said").textContent = `${rows.length} ${say("done")}`;
  } catch (error) {
    $("csv-said").textContent = error instanceof TypeError ? say("lost") : error.message;
  } finally {
    $("run").disabled = false;
  }
}

function showCard() {
  const shown = model();
  if (!shown) return $("card").replaceChildren();
  const rows = {
    name: shown.name, digest: shown.digest.slice(0, 16), task: shown.task, format: `${shown.format} · ${shown.model}`,
    labels: `${shown.labels.length}: ${shown.labels.slice(0, 40).join(", ")}${shown.labels.length > 40 ? " …" : ""}`,
    max_length: shown.max_length ? `${shown.max_length} ${say("tokens")}` : say("all"), size: `${(shown.size_bytes / 1e6).toFixed(1)} MB`,
  };
  $("card").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => [make("dt", say(name)), make("dd", value)]));
}

async function loadModels() {
  try {
    const reply = await call("GET", "/v1/models");
    complain(reply.status === 200 ? undefined : explain(reply));
    if (reply.status !== 200) return;
    const chosen = $("model").value;
    state.models = JSON.parse(reply.text).models;
    $("model").replaceChildren(...state.models.map((one) => make("option", one.name)));
    if (state.models.some((one) => one.name === chosen)) $("model").value = chosen;
    translate();
  } catch {
    complain(say("lost"));
  }
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
  const reply = await call("GET", "/metrics").catch(() => null);
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
  $("changed").hidden = metrics.sum("yanmo_inputs_changed") === 0;
}

$("ask").addEventListener("submit", ask);
$("texts").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit(); });
$("threshold").addEventListener("input", () => { $("threshold-value").textContent = $("threshold").value; });
$("language").addEventListener("click", () => { state.language = state.language === "zh" ? "en" : "zh"; translate(); showMetrics(); });
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
