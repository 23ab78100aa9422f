// The API reference: fetches /openapi.json and shows one operation at a time.
// All text is inserted as text, never as HTML.
import { ask, onSignIn, token } from "./token.js";

const base = document.body.dataset.base;
const byId = (id) => document.getElementById(id);
let api;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== ""));
  return element;
}

const pretty = (value) => JSON.stringify(value, null, 2);
const resolve = (schema) => {
  if (!schema?.$ref) return schema ?? {};
  const keys = schema.$ref.split("/").slice(1);
  // A JSON pointer (RFC 6901), which writes / as ~1 and ~ as ~0.
  const unescape = (key) => key.replaceAll("~1", "/").replaceAll("~0", "~");
  const found = keys.reduce((at, key) => at?.[unescape(key)], api);
  return { ...found, ...schema, $ref: undefined };
};

// The nodes of a text in which backticks enclose code.
const prose = (text) =>
  text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));

const QUERY = "query_";

// --- operations ----------------------------------------------------------------------------------

// [{id, title, model, path, verb, operation}] of all operations but the status of a model. `model`
// is true for the prediction of one model; its id and title are then the model's name. The same by a
// query is linked from there, and not listed.
function operations() {
  const found = [];
  for (const [path, verbs] of Object.entries(api.paths)) {
    for (const [verb, operation] of Object.entries(verbs)) {
      const [tag] = operation.tags;
      const predicts = tag === "models" && operation.operationId.startsWith("predict_");
      if (operation.operationId.startsWith("status_")) continue;
      const name = path.slice(base.length + 1);
      found.push({
        id: predicts ? name : operation.operationId,
        title: predicts ? name : `${verb.toUpperCase()} ${path}`,
        model: predicts && name !== "all",
        path, verb, operation, tag,
      });
    }
  }
  return found;
}

function list(all) {
  const link = ({ id, title, path }) => make("li", { "data-of": modelOf(path) },
    make("a", { href: `#${encodeURIComponent(id)}` }, title));
  const predicts = (one) => one.model || one.id === "all";
  byId("models").replaceChildren(...all.filter(predicts).map(link));
  const training = all.filter((one) => one.tag === "training");
  const listed = (one) => !predicts(one) && !training.includes(one) && !one.id.startsWith(QUERY);
  const service = all.filter(listed);
  byId("training").replaceChildren(...training.map(link));
  byId("service").replaceChildren(...service.map(link));
}

const modelOf = (path) => path.slice(base.length + 1).split("/")[0];

// Lists how the model is trained to which the shown operation belongs; others are too many.
function showTraining(model) {
  const items = [...byId("training").children];
  for (const item of items) item.hidden = item.dataset.of !== model;
  byId("training-title").hidden = items.every((item) => item.hidden);
}

function filter() {
  const wanted = byId("filter").value.toLowerCase();
  for (const item of byId("models").children) {
    item.hidden = !item.textContent.toLowerCase().includes(wanted);
  }
}

function choose(all) {
  const wanted = decodeURIComponent(location.hash.slice(1));
  const one = all.find((each) => each.id === wanted) ?? all[0];
  if (!one) return;
  for (const link of document.querySelectorAll(".index a")) {
    const here = link.getAttribute("href") === `#${encodeURIComponent(one.id)}`;
    link.toggleAttribute("aria-current", here);
  }
  showTraining(modelOf(one.path));
  byId("operation").replaceChildren(...show(one));
}

// --- one operation -------------------------------------------------------------------------------

function show({ title, path, verb, operation, model, id }) {
  const predicts = model || id === "all";
  const parts = [
    make("h1", {}, predicts ? title : operation.summary),
    make("p", { class: "route" },
      make("span", { class: "verb" }, verb.toUpperCase()), make("code", {}, path)),
  ];
  const about = operation.description || (predicts ? operation.summary : "");
  if (about) parts.push(make("p", { class: "lead" }, ...prose(about)));
  if (model && api.paths[`${path}/predict`]?.get) {
    const link = make("a", { href: `#${encodeURIComponent(QUERY + id)}` },
      make("code", {}, `GET ${path}/predict`));
    parts.push(make("p", {}, "One row also by a query: ", link));
  }
  if (model) parts.push(compiled(path));
  const media = operation.requestBody?.content["application/json"];
  if (media) {
    // A trained model takes variables, or rows.
    const [body] = [resolve(media.schema)].flatMap((one) => one.anyOf?.map(resolve) ?? [one]);
    const variables = body.properties?.variables;
    parts.push(
      make("h2", {}, variables ? "Fields of variables" : "Fields of the body"),
      fields(variables ? resolve(variables) : body),
    );
  }
  for (const [place, heading] of [["path", "Path"], ["query", "Query"]]) {
    const found = (operation.parameters ?? []).filter((one) => one.in === place);
    if (found.length) parts.push(make("h2", {}, heading), parameters(found));
  }
  parts.push(make("h2", {}, "Try it"), tryIt(path, verb, operation, media));
  parts.push(make("h2", {}, "Answers"), answers(operation));
  return parts;
}

// Whether a compiled form answers for the model, as its status says. Most have nothing to compile.
function compiled(path) {
  const line = make("p", { class: "reason", id: "compiled", hidden: true });
  ask(path).then(async (response) => {
    const found = response.ok && (await response.json()).compiled;
    if (!found || found.state === "off") return;
    line.textContent = found.summary[0].toUpperCase() + found.summary.slice(1);
    line.hidden = false;
  }).catch(() => {}); // without it the page says the rest
  return line;
}

function table(heads, rows) {
  return make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows)));
}

function fields(schema) {
  const rows = [...members(schema, "", 0)];
  if (!rows.length) {
    const rest = schema.additionalProperties === false
      ? "None: send an empty object."
      : "Any object: this model does not name its fields.";
    return make("p", { class: "soft" }, rest);
  }
  return table(["Name", "Type", "About"], rows);
}

// A row for each field: nested ones are named parent.child. Five levels at most, because a schema
// may refer to itself.
function* members(schema, prefix, depth) {
  schema = resolve(schema);
  const required = new Set(schema.required ?? []);
  for (const [name, given] of Object.entries(schema.properties ?? {})) {
    const member = resolve(given);
    const need = make("p", { class: "reason" }, required.has(name) ? "required" : "optional");
    yield make("tr", {},
      make("th", { scope: "row" }, make("code", {}, prefix + name)),
      make("td", {}, typeOf(member), need),
      make("td", {}, ...facts(member)));
    if (depth < 5) {
      const options = [member, ...(member.anyOf ?? []), ...(member.oneOf ?? [])];
      for (const inner of options.map(resolve)) {
        yield* members(inner, `${prefix}${name}.`, depth + 1);
        if (inner.type === "array") yield* members(inner.items, `${prefix}${name}[].`, depth + 1);
      }
    }
  }
}

function typeOf(schema) {
  schema = resolve(schema);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const options = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (options) return [...new Set(options.map(typeOf))].join(" or ");
  if (schema.type === "array") return schema.items ? `array of ${typeOf(schema.items)}` : "array";
  const type = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type ?? "anything";
  return schema.format ? `${type} (${schema.format})` : type;
}

const LIMITS = {
  minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<",
  multipleOf: "a multiple of", minLength: "length ≥", maxLength: "length ≤",
  minItems: "items ≥", maxItems: "items ≤", pattern: "matches",
};

function facts(schema) {
  const found = [];
  if (schema.description) found.push(make("p", {}, ...prose(schema.description)));
  const limitsOf = (one) => Object.entries(LIMITS)
    .filter(([key]) => one[key] !== undefined)
    .map(([key, words]) => `${words} ${one[key]}`);
  const limits = [schema, ...(schema.anyOf ?? [])].map(resolve).flatMap(limitsOf);
  if (schema.default !== undefined) limits.push(`default ${JSON.stringify(schema.default)}`);
  if (limits.length) found.push(make("p", { class: "reason" }, limits.join(", ")));
  return found;
}

function parameters(all) {
  return table(["Name", "Type", "About"], all.map((one) => make("tr", {},
    make("th", { scope: "row" }, make("code", {}, one.name)),
    make("td", {}, typeOf(one.schema)),
    make("td", {}, ...facts({ ...one.schema, description: one.description })))));
}

function answers(operation) {
  const row = ([code, response]) => make("tr", {},
    make("th", { scope: "row" }, code),
    make("td", {}, ...prose(resolve(response).description)));
  return table(["Status", "When"], Object.entries(operation.responses).map(row));
}

// --- try it --------------------------------------------------------------------------------------

function tryIt(path, verb, operation, media) {
  const examples = Object.entries(media?.examples ?? {});
  const expected = operation.responses["200"]?.content?.["application/json"]?.examples ?? {};
  const input = media && make("textarea", {
    id: "body", spellcheck: "false", "aria-label": "Request body",
  });
  const named = (operation.parameters ?? []).filter((one) => one.in === "query");
  const given = named.filter((one) => one.example !== undefined)
    .map((one) => `${encodeURIComponent(one.name)}=${encodeURIComponent(one.example)}`);
  const query = named.length > 0 && make("input", {
    id: "query", value: given.join("&"), placeholder: named.map((one) => `${one.name}=…`).join("&"), "aria-label": "Query",
    size: 30,
  });
  const place = path.includes("{") && make("input", {
    id: "path", value: path, "aria-label": "Path", size: 50, spellcheck: "false",
  });
  const output = make("pre", { id: "answer", tabindex: "0", "aria-live": "polite" }, "");
  const outcome = make("span", { id: "outcome", class: "soft" });
  const send = make("button", { class: "main", id: "send" }, "Send");
  const key = make("input", {
    type: "password", id: "key", autocomplete: "off", value: token.get(),
    oninput: () => token.set(key.value.trim()),
  });

  function report(text, style) {
    outcome.className = style;
    outcome.textContent = text;
  }

  async function run(event) {
    event.preventDefault();
    send.disabled = true;
    report("…", "soft");
    const started = performance.now();
    try {
      const at = place ? place.value : path;
      const url = query && query.value ? `${at}?${query.value}` : at;
      const headers = input ? { "Content-Type": "application/json" } : {};
      const method = verb.toUpperCase();
      const response = await ask(url, { method, body: input?.value, headers });
      const text = await response.text();
      const ms = Math.round(performance.now() - started);
      const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
      report(
        `${response.status} ${response.statusText} in ${ms} ms`,
        `badge ${response.ok ? "ok" : "error"}`,
      );
      output.textContent = isJson ? pretty(JSON.parse(text)) : text;
    } catch (error) {
      report("no answer", "badge error");
      output.textContent = String(error);
    }
    send.disabled = false;
  }

  function fill([name, example]) {
    const response = expected[name];
    input.value = pretty(example.value);
    output.textContent = response ? pretty(response.value) : "";
    report(response ? `expected response of the example ${example.summary}` : "", "soft");
  }

  if (examples.length) fill(examples[0]);
  else if (input) input.value = pretty(media.example ?? {});
  const button = (example) =>
    make("button", { type: "button", onclick: () => fill(example) }, example[1].summary);
  const choices = examples.length > 1 &&
    make("div", { class: "row", role: "group", "aria-label": "Examples" }, ...examples.map(button));
  return make("form", { class: "try", onsubmit: run },
    make("div", {},
      input ? make("label", { for: "body" }, "Request body") : "", choices || "", input ?? "",
      place ? make("label", { for: "path" }, "Path") : "", place || "",
      query ? make("label", { for: "query" }, "Query") : "", query || "",
      ...(operation.security ? [make("label", { for: "key" }, "Token"), key] : []),
      make("div", { class: "row" }, send)),
    make("div", {}, make("div", { class: "row" }, make("span", {}, "Answer"), outcome), output));
}

// --- start ---------------------------------------------------------------------------------------

async function open() {
  const response = await ask(`${base}/openapi.json`);
  byId("signin").hidden = response.ok;
  byId("reference").hidden = !response.ok;
  if (!response.ok) return false;
  api = await response.json();
  const all = operations();
  list(all);
  choose(all);
  byId("filter").addEventListener("input", filter);
  addEventListener("hashchange", () => choose(all));
  return true;
}

onSignIn(open);
open();
