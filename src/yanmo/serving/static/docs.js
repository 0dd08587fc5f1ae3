"use strict";

const make = (tag, text) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  return element;
};

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${schema.items ? typeOf(schema.items) : "values"}`;
  if (schema.type === "object" && schema.additionalProperties) return `map of ${typeOf(schema.additionalProperties)}`;
  const range = [schema.minimum !== undefined && `≥ ${schema.minimum}`, schema.maximum !== undefined && `≤ ${schema.maximum}`].filter(Boolean);
  return [schema.type ?? "value", ...range].join(" ");
}

function table(head, rows) {
  const frame = make("div"), made = make("table"), first = make("tr");
  frame.className = "scroll";
  frame.tabIndex = 0;
  first.append(...head.map((text) => make("th", text)));
  made.append(first);
  for (const row of rows) {
    const line = make("tr");
    line.append(...row.map((text) => make("td", text)));
    made.append(line);
  }
  frame.append(made);
  return frame;
}

function contentType(part) {
  const [found] = Object.values(part?.content ?? {});
  return found ? typeOf(found.schema) : "";
}

function showRoute(path, method, operation) {
  const section = make("section"), key = operation.security ? "needs a key" : "needs no key";
  section.append(make("h2", `${method.toUpperCase()} ${path}`), make("p", `${operation.summary} It ${key}.`));
  const rows = operation.parameters.map((one) => [one.name, one.in, typeOf(one.schema), one.description ?? ""]);
  if (operation.requestBody) rows.push(["", "body", contentType(operation.requestBody), ""]);
  if (rows.length) section.append(table(["name", "in", "type", "meaning"], rows));
  const [sent] = Object.values(operation.requestBody?.content ?? {});
  for (const [title, { value }] of Object.entries(sent?.examples ?? {})) {
    const curl = `curl -X POST '${new URL(path.slice(1), document.baseURI)}' -H 'content-type: application/json' -d '${JSON.stringify(value)}'`;
    const shown = make("pre", curl);
    shown.tabIndex = 0;
    section.append(make("p", `${title}:`), shown);
  }
  const answers = Object.entries(operation.responses).map(([status, one]) => [status, contentType(one), one.description]);
  section.append(table(["status", "type", "meaning"], answers));
  return section;
}

function showType(name, schema) {
  const section = make("section"), needed = new Set(schema.required ?? []);
  section.append(make("h2", name), make("p", schema.description ?? ""));
  if (schema.anyOf) {
    section.append(make("p", `Is ${typeOf(schema)}.`));
    return section;
  }
  const rows = Object.entries(schema.properties ?? {}).map(([key, one]) => [key + (needed.has(key) ? "" : " (may be left out)"), typeOf(one), one.description ?? ""]);
  section.append(table(["key", "type", "meaning"], rows));
  return section;
}

fetch("openapi.json").then((response) => response.json()).then((document_) => {
  const shown = [];
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(methods)) shown.push(showRoute(path, method, operation));
  }
  for (const [name, schema] of Object.entries(document_.components.schemas)) shown.push(showType(name, schema));
  document.getElementById("routes").replaceChildren(...shown);
});
