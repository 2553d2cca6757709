// Shows what the simulator tells of itself. Names, tags and messages are whatever somebody sent: they reach the
// document as text only, never as markup, and the page's policy forbids anything else.
"use strict";

const KEY = "simulator-token";
const EVERY = 1500; // milliseconds between two looks
const CALLS = 200; // shown at most
const TEXT_OPTIONS = new Set(["code", "message", "content_type", "resource", "at", "value"]);

const byId = (id) => document.getElementById(id);
let token = "";
let paused = false;
let timer = 0;
let round = 0;
let kinds = {};
let subscription = "";
let calls = [];
const opened = new Set();
const contents = new WeakMap(); // what a row was made of

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const reply = await fetch(`/_simulator/${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body ? JSON.stringify(body) : undefined,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  const text = await reply.text();
  const told = text ? JSON.parse(text) : null;
  if (!reply.ok) throw new Refused(reply.status, told?.error?.message ?? `status ${reply.status}`);
  return told;
}

// Small builders of elements; strings become text.

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : String(child ?? ""))));
  return element;
}

const cell = (text, kind) => make("td", { class: kind }, text ?? "");
const rowHead = (text) => make("th", { scope: "row" }, text ?? "");

// Long paths and types break behind a slash.
function pathCell(text, kind, title) {
  const parts = String(text ?? "").split(/(?<=\/)/).flatMap((part, place) => (place ? [make("wbr"), part] : [part]));
  return make("td", { class: kind, title }, ...parts);
}

function stateCell(text) {
  const word = String(text ?? "");
  const lowered = word.toLowerCase();
  let kind = "busy";
  let sign = "…";
  if (["succeeded", "ready"].includes(lowered)) [kind, sign] = ["good", "✓"];
  else if (["failed", "canceled"].includes(lowered)) [kind, sign] = ["bad", "✗"];
  return make("td", { class: `narrow ${kind}` }, make("span", { "aria-hidden": "true" }, `${sign} `), word);
}

function tagsCell(tags) {
  const parts = Object.entries(tags ?? {}).map(([name, value]) => make("span", { class: "tag" }, `${name}=${value}`));
  return make("td", { class: "tags" }, ...parts);
}

// Rows that did not change stay as they are, so that neither focus nor a selection is lost.
function fill(id, items, keyOf, rowsOf) {
  const body = byId(id);
  const present = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const wanted = [];
  for (const item of items) {
    const key = keyOf(item);
    const content = JSON.stringify(item);
    const there = present.get(key);
    if (there && contents.get(there) === content) {
      wanted.push(there);
      continue;
    }
    const row = rowsOf(item);
    row.dataset.key = key;
    contents.set(row, content);
    wanted.push(row);
  }
  if (!wanted.length) {
    const width = body.closest("table").tHead.rows[0].cells.length;
    const row = make("tr", {}, make("td", { class: "nothing", colspan: width }, body.dataset.empty));
    row.dataset.key = "nothing";
    wanted.push(present.get("nothing") ?? row);
  }
  const kept = new Set(wanted);
  const hadFocus = body.contains(document.activeElement) ? document.activeElement : null;
  const focused = hadFocus && { key: hadFocus.closest("tr").dataset.key, action: hadFocus.dataset.action };
  for (const row of [...body.children]) if (!kept.has(row)) row.remove();
  wanted.forEach((row, place) => {
    if (body.children[place] !== row) body.insertBefore(row, body.children[place] ?? null);
  });
  if (focused && document.activeElement === document.body) {
    const row = wanted.find((each) => each.dataset.key === focused.key);
    row?.querySelector(`[data-action="${focused.action}"]`)?.focus();
  }
}

const groupOf = (id) => String(id).split("/")[4] ?? "";

function showFacts(state, clock) {
  subscription = state.subscription_id.toLowerCase();
  const facts = {
    Cloud: state.cloud,
    Subscription: state.subscription_id,
    Speed: clock.speed === 0 ? "stands still" : `${clock.speed} times`,
  };
  byId("facts").replaceChildren(
    ...Object.entries(facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
  const minutes = Math.floor(clock.elapsed / 60);
  byId("clock").textContent = `${minutes} simulated minutes have passed since the start.`;
}

function showFaults(told) {
  if (JSON.stringify(told.kinds) !== JSON.stringify(kinds)) {
    kinds = told.kinds;
    byId("kind").replaceChildren(...Object.keys(kinds).map((kind) => make("option", { value: kind }, kind)));
    showOptions();
  }
  fill("fault-rows", told.faults, (fault) => fault.id, (fault) => {
    const { id, kind, match, count, struck, ...options } = fault;
    const shown = Object.entries(options).map(([name, value]) => `${name}=${value}`).join(", ");
    const lift = make("button", { type: "button", "data-action": "lift", on: { click: () => act(async () => {
      await ask("DELETE", `faults/${encodeURIComponent(id)}`);
      return `Fault ${id} is lifted.`;
    }) } }, "Lift", make("span", { class: "away" }, ` fault ${id}`));
    return make("tr", {}, rowHead(id), cell(kind), cell(`${match.method ?? "any"} ${match.path || "any path"}`, "path"),
      cell(shown), cell(count === null ? "until lifted" : count), cell(struck), make("td", {}, lift));
  });
}

function showOptions() {
  const about = kinds[byId("kind").value] ?? { options: [], methods: [] };
  const before = byId("method").value;
  const methods = about.methods.length ? about.methods : ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"];
  byId("method").replaceChildren(make("option", { value: "" }, "any"),
    ...methods.map((method) => make("option", { value: method }, method)));
  byId("method").value = methods.includes(before) ? before : "";
  byId("options").hidden = !about.options.length;
  byId("option-fields").replaceChildren(...about.options.map((name) => make("p", {},
    make("label", { for: `option-${name}` }, name),
    make("input", { id: `option-${name}`, name, spellcheck: "false", autocomplete: "off" }))));
}

function shortened(path) {
  const own = `/subscriptions/${subscription}/`;
  return subscription && path.toLowerCase().startsWith(own) ? `…/${path.slice(own.length)}` : path;
}

function showCalls(told) {
  calls = [...calls, ...told.calls].slice(-CALLS);
  fill("call-rows", [...calls].reverse(), (call) => String(call.sequence), (call) => {
    const status = call.status ?? "none";
    const kind = call.status >= 400 || call.status === null ? "bad" : "good";
    return make("tr", {}, cell(call.sequence, "narrow"), cell(call.time.slice(11, 19), "narrow"), cell(call.method, "narrow"),
      pathCell(shortened(call.path), "path", call.path), cell(status, `narrow ${kind}`), cell(call.code, "narrow"), cell(call.fault, "narrow"));
  });
}

// A call that was still without its answer when it was seen is asked for again.
function callsSeen() {
  const unfinished = calls.findIndex((call) => call.status === null && !call.fault);
  if (unfinished >= 0) calls = calls.slice(0, unfinished);
  return calls.length ? calls[calls.length - 1].sequence : null;
}

async function showDeployments(deployments) {
  const steps = new Map();
  for (const deployment of deployments) {
    if (!opened.has(deployment.id)) continue;
    const told = await ask("GET", `operations?deployment=${encodeURIComponent(deployment.id)}`);
    steps.set(deployment.id, told.value);
  }
  const rows = deployments.flatMap((deployment) => opened.has(deployment.id)
    ? [deployment, { id: `${deployment.id}#operations`, of: deployment.name, steps: steps.get(deployment.id) }]
    : [deployment]);
  const shown = rows.map((row) => (row.steps ? row : { ...row, open: opened.has(row.id) }));
  fill("deployment-rows", shown, (row) => row.id, (row) => (row.steps ? operationsRow(row) : deploymentRow(row)));
}

function deploymentRow(deployment) {
  const toggle = make("button", { type: "button", "data-action": "operations", "aria-expanded": String(deployment.open), on: { click: () => {
    if (!opened.delete(deployment.id)) opened.add(deployment.id);
    look();
  } } }, deployment.open ? "Hide" : "Show", make("span", { class: "away" }, ` operations of ${deployment.name}`));
  return make("tr", {}, rowHead(deployment.name), cell(deployment.group), stateCell(deployment.state), make("td", {}, toggle));
}

function operationsRow({ of, steps }) {
  const rows = steps.map(({ properties }) => {
    const target = properties.targetResource;
    const error = properties.statusMessage?.error;
    return make("tr", {}, rowHead(target ? target.resourceName : ""), pathCell(target ? target.resourceType : properties.provisioningOperation, "kind"),
      stateCell(properties.provisioningState), cell(error ? `${error.code}: ${error.message}` : ""));
  });
  const table = make("table", {}, make("caption", { class: "away" }, `Operations of ${of}`),
    make("thead", {}, make("tr", {}, ...["Resource", "Type", "State", "Error"].map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...rows));
  return make("tr", { class: "inner" }, make("td", { colspan: 4 }, table));
}

function showState(state) {
  fill("resource-rows", state.resources, (resource) => resource.id, (resource) => make("tr", {},
    rowHead(resource.foreign ? `${resource.name} (planted)` : resource.name), pathCell(resource.type, "kind"), cell(groupOf(resource.id)),
    stateCell(resource.state), tagsCell(resource.tags)));
  fill("group-rows", state.groups, (group) => group.name, (group) => make("tr", {},
    rowHead(group.name), cell(group.location), stateCell(group.state), tagsCell(group.tags)));
}

async function look() {
  window.clearTimeout(timer);
  const mine = ++round;
  try {
    const seen = callsSeen();
    const ledger = seen === null ? `ledger?last=${CALLS}` : `ledger?after=${seen}&last=${CALLS}`;
    const [state, clock, faults, told] = await Promise.all(
      [ask("GET", "state"), ask("GET", "clock"), ask("GET", "faults"), ask("GET", ledger)]);
    if (mine !== round) return;
    showFacts(state, clock);
    showFaults(faults);
    showCalls(told);
    showState(state);
    await showDeployments(state.deployments);
    say("connection", paused ? "Paused." : "Connected; this page follows.");
    reveal(true);
  } catch (error) {
    if (mine !== round) return;
    if (error instanceof Refused && error.status === 401) {
      leave("This token is not accepted.");
      return;
    }
    say("connection", `The simulator does not answer (${error.message}); trying again.`);
  }
  if (!paused) timer = window.setTimeout(look, document.hidden ? EVERY * 10 : EVERY);
}

function say(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

async function act(deed) {
  const outcome = byId("outcome");
  try {
    const said = await deed();
    outcome.classList.remove("failed");
    say("outcome", said);
  } catch (error) {
    outcome.classList.add("failed");
    say("outcome", `Not done: ${error.message}`);
  }
  await look();
}

function reveal(signedIn) {
  byId("content").hidden = !signedIn;
  byId("session").hidden = !signedIn;
  byId("signing-in").hidden = signedIn;
}

function leave(why) {
  window.clearTimeout(timer);
  round += 1;
  token = "";
  calls = [];
  opened.clear();
  window.sessionStorage.removeItem(KEY);
  reveal(false);
  for (const body of document.querySelectorAll("tbody")) body.replaceChildren();
  byId("facts").replaceChildren();
  say("outcome", "");
  say("connection", why);
  byId("token").focus();
}

function enter(given) {
  token = given.trim();
  window.sessionStorage.setItem(KEY, token);
  say("connection", "Loading.");
  look();
}

function asked(form) {
  const about = kinds[form.elements.kind.value];
  const fault = { kind: form.elements.kind.value, match: { method: form.elements.method.value || null, path: form.elements.path.value } };
  fault.count = form.elements["until-lifted"].checked ? null : Number(form.elements.count.value);
  for (const name of about.options) {
    const value = byId(`option-${name}`).value.trim();
    if (value === "") continue;
    if (TEXT_OPTIONS.has(name)) fault[name] = value;
    else if (/^\d+(\.\d+)?$/.test(value)) fault[name] = Number(value);
    else fault[name] = value === "true" ? true : value === "false" ? false : value;
  }
  return fault;
}

function onSubmit(id, deed) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    deed(event.target);
  });
}

function start() {
  onSubmit("sign-in", (form) => {
    enter(form.elements.token.value);
    form.reset();
  });
  onSubmit("arm", (form) => act(async () => {
    const fault = await ask("POST", "faults", asked(form));
    return `Fault ${fault.id} (${fault.kind}) is armed.`;
  }));
  onSubmit("set-speed", (form) => act(async () => {
    const clock = await ask("POST", "clock", { speed: Number(form.elements.speed.value) });
    return `The speed is ${clock.speed}.`;
  }));
  onSubmit("advance", (form) => act(async () => {
    await ask("POST", "clock", { advance: Number(form.elements.seconds.value) });
    return `The time has jumped by ${form.elements.seconds.value} seconds.`;
  }));
  byId("kind").addEventListener("change", showOptions);
  byId("until-lifted").addEventListener("change", (event) => { byId("count").disabled = event.target.checked; });
  byId("lift-all").addEventListener("click", () => act(async () => {
    await ask("DELETE", "faults");
    return "All faults are lifted.";
  }));
  byId("sign-out").addEventListener("click", () => leave("Signed out."));
  byId("pause").addEventListener("click", () => {
    paused = !paused;
    byId("pause").setAttribute("aria-pressed", String(paused));
    look();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && token && !paused) look(); });
  window.addEventListener("hashchange", () => { if (fromFragment()) enter(token); });
  if (!fromFragment()) token = window.sessionStorage.getItem(KEY) ?? "";
  if (token) enter(token);
  else leave("Sign in to see what is going on.");
}

// A link may bring the token in its fragment, which no server sees; it does not stay in the address.
function fromFragment() {
  const given = new URLSearchParams(window.location.hash.slice(1)).get("token");
  if (!given) return false;
  token = given;
  window.history.replaceState(null, "", window.location.pathname);
  return true;
}

start();
