"use strict";

const MAX_SHOWN = 5000, KEY = "YOUR_KEY", SECOND = "It came yesterday.";
const $ = (id) => document.getElementById(id);

const make = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};

const anchorOf = (...parts) => parts.join("-").replaceAll(":", "_").replaceAll(/[^\w]+/g, "-");

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(tell(" or "));
  if (schema.type === "array") return tell("list of {type}", { type: schema.items ? typeOf(schema.items) : tell("values") });
  if (schema.type === "object" && schema.additionalProperties) return tell("map of {type}", { type: typeOf(schema.additionalProperties) });
  const range = [schema.minimum !== undefined && `≥ ${schema.minimum}`, schema.maximum !== undefined && `≤ ${schema.maximum}`].filter(Boolean);
  return [schema.type ?? tell("value"), ...range].join(" ");
}

function table(head, rows) {
  const frame = make("div", undefined, "scroll"), made = make("table"), titles = make("thead"), first = make("tr"), body = make("tbody");
  frame.tabIndex = 0;
  first.append(...head.map((text) => make("th", tell(text))));
  titles.append(first);
  for (const row of rows) {
    const line = make("tr");
    line.append(...row.map((text, place) => make("td", text, place ? undefined : "whole")));
    body.append(line);
  }
  made.append(titles, body);
  frame.append(made);
  return frame;
}

// What the document says of something; the codes of problems are names.
function describe(text = "") {
  const codes = /^Code: (.*)\.$/.exec(text);
  return codes ? tell("Code: {names}.", { names: codes[1] }) : tell(text);
}

function contentType(part) {
  const [found] = Object.values(part?.content ?? {});
  return found ? typeOf(found.schema) : "";
}

// What the document shows is for models of one text; a model of pairs is asked the same with a second one.
function examplesOf(operation, isPair) {
  const [sent] = Object.values(operation.requestBody?.content ?? {});
  const found = Object.entries(sent?.examples ?? {}).map(([title, { value }]) => [title, value]);
  if (!isPair) return found;
  return found.filter(([, body]) => body.text || body.texts).map(([title, body]) => [
    title, body.text ? { ...body, text_b: SECOND } : { ...body, texts_b: body.texts.map(() => SECOND) },
  ]);
}

const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

function curlOf({ address, body, needsKey }) {
  const key = needsKey ? ` -H 'authorization: Bearer ${KEY}'` : "";
  if (body === undefined) return `curl ${quoted(address)}${key}`;
  return `curl ${quoted(address)}${key} -H 'content-type: application/json' -d ${quoted(body)}`;
}

async function send({ method, address, body }) {
  const headers = { "accept-language": page.language, ...(body === undefined ? {} : { "content-type": "application/json" }) };
  if ($("key").value) headers.authorization = `Bearer ${$("key").value}`;
  const reply = await fetch(address, { method, headers, body });
  const text = await reply.text();
  let shown = text;
  try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* A page or metrics: as it is. */ }
  return `${reply.status} ${reply.statusText}\n${shown.length > MAX_SHOWN ? `${shown.slice(0, MAX_SHOWN)} …` : shown}`;
}

function field(label, id, element) {
  const row = make("p"), title = make("label", tell(label));
  element.id = title.htmlFor = id;
  row.append(title, " ", element);
  return row;
}

function tryIt(path, method, operation, models) {
  const made = make("div", undefined, "try"), id = anchorOf("try", method, path), examples = examplesOf(operation, models[0]?.task === "text_pair");
  const name = make("input"), version = make("input"), body = make("textarea"), curl = make("pre"), button = make("button", tell("Try it")), answer = make("pre", undefined, "answer");
  const hasBody = Boolean(operation.requestBody);
  name.value = models[0]?.name ?? "NAME";
  version.value = models[0]?.digest ?? "VERSION";
  name.spellcheck = version.spellcheck = body.spellcheck = false;
  const call = () => ({
    method: method.toUpperCase(),
    // Relative to the page, which a proxy may have put under a prefix.
    address: new URL(`.${path.replace("{name}", encodeURIComponent(name.value)).replace("{version}", encodeURIComponent(version.value))}`, document.baseURI).href,
    body: hasBody ? body.value : undefined,
    needsKey: Boolean(operation.security),
  });
  const showCurl = () => { curl.textContent = curlOf(call()); };
  if (path.includes("{name}")) made.append(field("name", `${id}-name`, name));
  if (path.includes("{version}")) made.append(field("version", `${id}-version`, version));
  if (hasBody) {
    const choice = make("select");
    choice.append(...examples.map(([title]) => make("option", tell(title))));
    const choose = () => { body.value = JSON.stringify(examples[choice.selectedIndex]?.[1] ?? {}); showCurl(); };
    choice.addEventListener("change", choose);
    if (examples.length > 1) made.append(field("example", `${id}-example`, choice));
    made.append(field("body", `${id}-body`, body));
    choose();
  }
  curl.tabIndex = answer.tabIndex = 0;
  curl.setAttribute("aria-label", tell("command"));
  answer.setAttribute("role", "status");
  answer.hidden = true;
  button.type = "button";
  button.setAttribute("aria-label", `${tell("Try it")}: ${method.toUpperCase()} ${path}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    answer.hidden = false;
    answer.textContent = await send(call()).catch(() => tell("The service does not answer."));
    button.disabled = false;
  });
  for (const one of [name, version, body]) one.addEventListener("input", showCurl);
  showCurl();
  made.append(curl, button, answer);
  return made;
}

function showRoute(path, method, operation, models) {
  const section = make("section"), key = operation.security ? ` ${tell("It needs a key.")}` : "", title = make("h2", `${method.toUpperCase()} `);
  // A long path breaks before a slash, and within no name.
  title.append(...path.split(/(?=\/)/).flatMap((part) => [make("wbr"), part]));
  title.id = anchorOf(method, path);
  section.append(title, make("p", `${tell(operation.summary)}${key}`));
  const rows = operation.parameters.map((one) => [one.name, one.in, typeOf(one.schema), describe(one.description)]);
  if (operation.requestBody) rows.push(["", tell("body"), contentType(operation.requestBody), ""]);
  if (rows.length) section.append(table(["name", "in", "type", "meaning"], rows));
  section.append(tryIt(path, method, operation, models));
  const answers = Object.entries(operation.responses).map(([status, one]) => [status, contentType(one), describe(one.description)]);
  const rest = make("details");
  rest.append(make("summary", tell("What may come back")), table(["status", "type", "meaning"], answers));
  section.append(rest);
  return section;
}

function showType(name, schema) {
  const section = make("section"), needed = new Set(schema.required ?? []), title = make("h3", name);
  title.id = anchorOf("type", name);
  section.append(title, make("p", describe(schema.description)));
  if (schema.anyOf) {
    section.append(make("p", tell("Is {type}.", { type: typeOf(schema) })));
    return section;
  }
  const rows = Object.entries(schema.properties ?? {}).map(([key, one]) => [key, typeOf(one), `${describe(one.description)}${needed.has(key) ? "" : ` ${tell("May be left out.")}`}`.trim()]);
  section.append(table(["key", "type", "meaning"], rows));
  return section;
}

function entry(text, anchor) {
  const item = make("li"), link = make("a", text);
  link.href = `#${anchor}`;
  item.append(link);
  return item;
}

async function show() {
  showLanguage();
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = tell(element.dataset.say);
  const document_ = await (await fetch("openapi.json")).json(), hasKeys = Boolean(document_.components.securitySchemes);
  $("key-row").hidden = !hasKeys;
  // With keys nobody is asked before there is one: the names stand in the playground.
  const models = hasKeys ? [] : (await (await fetch("v1/models")).json()).models ?? [];
  const shown = [], contents = [];
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      shown.push(showRoute(path, method, operation, models));
      contents.push(entry(`${method.toUpperCase()} ${path}`, anchorOf(method, path)));
    }
  }
  const types = make("h2", tell("Types"));
  types.id = "types";
  shown.push(types, ...Object.entries(document_.components.schemas).map(([name, schema]) => showType(name, schema)));
  contents.push(entry(tell("Types"), "types"));
  $("routes").replaceChildren(...shown);
  $("contents").replaceChildren(...contents);
  // The anchors were not there when the browser looked for the one of the address.
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

$("key-row").addEventListener("submit", (event) => event.preventDefault());
$("language").addEventListener("click", () => { changeLanguage(); show(); });
show();
