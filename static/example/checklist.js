// A checklist on a page of a product: what onboarding-client.js is used for, in plain DOM.
import { createClient } from "../onboarding-client.js";

const WORDS = { todo: "To do", in_progress: "In progress", done: "Done", skipped: "Skipped" };
const OVER = ["done", "skipped"];
const GONE = [404, 410];
const SLOW_MS = 1_500;

// What went wrong, by status, for the user of the page: the words of the API are for whoever reads a log.
const PROBLEMS = {
  0: ["No response", "Check your connection, then try again."],
  401: ["You are not signed in", "Sign in again. On this page, use another token."],
  403: ["You cannot do this", "Your sign-in does not allow it."],
  404: ["There is nothing to show", "This checklist or step does not exist, or not yet."],
  410: ["This step was removed", "There is nothing left to do here."],
  422: ["Something is missing", "With a backend token, enter whose checklist it is."],
  429: ["Too many requests", "Wait a minute, then try again."],
};
const OTHER = ["This did not work", "The fault is ours. Try again in a moment."];

// what has no status is of a token that cannot be sent
const problemOf = ({ status = 401 }) => PROBLEMS[status] ?? OTHER;

const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

let client;
let checklist;
const saving = new Set(); // ids of steps
const told = new Map(); // id of a step -> what to show below it: a function that makes the element

// What is shown ---------------------------------------------------------------------------------------------------

/** Draws everything again; the element that had the focus has it still. */
function draw() {
  const { progress, finished, steps } = checklist;
  const focused = document.activeElement?.id;
  const over = steps.filter(({ status }) => OVER.includes(status)).length;
  $("how-far").hidden = !steps.length;
  $("percent").textContent = `${progress} %`;
  $("progress").value = progress;
  $("how-many").textContent = finished ? "Everything is set up" : `${over} of ${steps.length} steps completed`;
  $("steps").replaceChildren(...(steps.length ? steps.map(row) : [emptyRow()]));
  if (focused) $(focused)?.focus();
}

/** Draws, and moves the focus to `id` if it was in the step's row: nobody who has gone on is brought back. */
function drawInside(step, id) {
  const isHere = $(`step-${step.id}`)?.contains(document.activeElement);
  draw();
  if (isHere) $(id)?.focus();
}

function emptyRow() {
  const what = make("b", {}, "No steps yet");
  return make("li", { className: "empty" }, what, "They appear here once one is published in the dashboard.");
}

function row(step) {
  const busy = saving.has(step.id);
  const choices = Object.entries(WORDS).map(([status, word]) =>
    make("button", {
      type: "button",
      id: `${step.id}-${status}`,
      className: `is-${status}`,
      textContent: word,
      ariaPressed: String(step.status === status),
      ariaDisabled: String(busy),
      onclick: () => save(step, status),
    }),
  );
  return make(
    "li",
    { id: `step-${step.id}`, className: OVER.includes(step.status) ? "is-over" : "", ariaBusy: String(busy) },
    make("span", { className: `state state-${step.status}` }),
    make("div", {}, make("h3", {}, step.title), make("p", { className: "sub" }, step.description)),
    make("div", { className: "choices", role: "group", ariaLabel: `Status of ${step.title}` }, ...choices),
    ...(told.has(step.id) ? [told.get(step.id)(step)] : []),
  );
}

/** A panel below the step, with ways out: [[word, what to do], ...]. */
const panel = (step, title, lead, items, ways) =>
  make(
    "section",
    { className: "panel", id: `panel-${step.id}`, tabIndex: -1, ariaLabel: title },
    make("div", { className: "panel-head" }, make("div", {}, make("b", {}, title), make("p", {}, lead))),
    ...(items.length ? [make("ul", { className: "panel-list" }, ...items.map((text) => make("li", {}, text)))] : []),
    make("div", { className: "panel-foot" }, ...ways.map(([word, act]) => button(word, act))),
  );

const button = (textContent, onclick) =>
  make("button", { type: "button", className: "btn btn-sm", textContent, onclick });

function close({ id }) {
  told.delete(id);
  draw();
  const now = stepOf(id);
  $(now ? `${id}-${now.status}` : "checklist-h").focus();
}

function tellProblem(place, error) {
  const [title, text] = problemOf(error);
  place.replaceChildren(make("div", {}, make("b", {}, title), make("p", {}, text)));
  place.hidden = false;
}

// What happened, in words -----------------------------------------------------------------------------------------

const WHO = {
  staff: "Our staff",
  user: "You, in another window,",
  token: "Another window or program",
  system: "Our system",
};

function words({ kind, by, at, from, to }) {
  if (kind === "event") return `${WHO[by.split(":")[0]]} set it to ${WORDS[to]} at ${clock(at)}.`;
  const moved = from === to ? `It stayed ${WORDS[to]}` : `It went from ${WORDS[from]} to ${WORDS[to]}`;
  return `${moved} when this step was changed for everybody at ${clock(at)}.`;
}

function outcome(status, now, conflict) {
  if (!conflict) return `Saved: ${WORDS[status]}.`;
  const meanwhile = conflict.changes.map(words).join(" ");
  // kept by a try that got no answer, and changed by somebody since
  if (now.status !== status) return `Saved: ${WORDS[status]}. Then it changed to ${WORDS[now.status]}. ${meanwhile}`;
  if (conflict.currentState.status === status) return `It already was ${WORDS[status]}: nothing to save. ${meanwhile}`;
  return `Saved: ${WORDS[status]}. It had changed meanwhile, and yours still held. ${meanwhile}`;
}

/** Somebody else finished or skipped the step first, or it changed too often. */
function refused(step, status, { changes }) {
  const lead = `${WORDS[status]} was not saved, and nothing was overwritten.`;
  return panel(step, "This step changed while you had it open", lead, changes.map(words), [
    [`Keep ${WORDS[step.status]}`, () => close(step)],
    [`Save ${WORDS[status]} over it`, () => save(step, status)],
  ]);
}

/** It was not saved, or (`unsure`) nobody knows. */
function failed(step, status, error) {
  const [title, text] = problemOf(error);
  const [lead, way] = error.unsure
    ? [`${WORDS[status]} may have been saved: check again.`, "Check again"]
    : [`${WORDS[status]} was not saved. ${text}`, "Cancel"];
  return panel(step, title, lead, [], [
    ["Try again", () => save(step, status)],
    [way, () => lookAgain(step)],
  ]);
}

// What one can do -------------------------------------------------------------------------------------------------

async function save(step, status) {
  if (saving.has(step.id) || step.status === status) return;
  $("list-problem").hidden = true;
  saving.add(step.id);
  told.delete(step.id);
  drawInside(step, `${step.id}-${status}`);
  const slow = setTimeout(() => {
    told.set(step.id, () => make("p", { className: "sub" }, "Still trying to save this…"));
    draw();
  }, SLOW_MS);
  const error = await settle(step, status);
  clearTimeout(slow);
  saving.delete(step.id);
  drawInside(step, `${error ? "panel" : step.id}-${error ? step.id : status}`);
}

/** Saves, and notes what is to be told; the error, if it was not saved. */
async function settle(step, status) {
  try {
    const answer = await client.updateStep(step.id, status, { rowVersion: step.row_version });
    const { step: now, progress, finished, conflict } = answer;
    if (progress === undefined) await reread();
    else Object.assign(checklist, { progress, finished });
    Object.assign(stepOf(step.id) ?? {}, now);
    const text = outcome(status, now, conflict);
    told.set(step.id, () => make("p", { className: "told" }, text));
    $("said").textContent = text;
    return null;
  } catch (error) {
    const stale = error.answer?.currentState;
    if (stale) Object.assign(stepOf(step.id) ?? {}, stale);
    if (stale || GONE.includes(error.status)) await reread();
    told.set(step.id, (row) => (stale ? refused(row, status, error.conflict) : failed(row, status, error)));
    if (!stepOf(step.id)) tellProblem($("list-problem"), error);
    $("said").textContent = `${step.title}: ${WORDS[status]} ${error.unsure ? "may have been" : "was not"} saved.`;
    return error;
  }
}

/** Away with what is told below the step: what there is now is shown. */
async function lookAgain(step) {
  $("list-problem").hidden = true;
  try {
    await read();
  } catch (error) {
    tellProblem($("list-problem"), error);
  }
  close(step);
}

const stepOf = (id) => checklist.steps.find((step) => step.id === id);

async function read() {
  checklist = await client.steps();
}

/** The id as an address of the dashboard holds it: what may get lost on the way goes as ~ and base64url. */
function packed(id) {
  if (/^[\w-]+$/.test(id)) return id;
  const bytes = String.fromCharCode(...new TextEncoder().encode(id));
  return `~${btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** What cannot be read again stays as it was. */
const reread = () => read().catch(() => {});

$("connect-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { token, userId } = Object.fromEntries(new FormData(event.target));
  client = createClient({ baseUrl: location.origin, token: token.trim(), userId: userId.trim() });
  $("connect-problem").hidden = true;
  $("open").disabled = true;
  try {
    await read();
    $("whose").textContent = checklist.user_id;
    $("in-dashboard").href = `/people/${packed(checklist.user_id)}`;
    $("connect").hidden = true;
    $("checklist").hidden = false;
    draw();
    $("checklist-h").focus();
  } catch (error) {
    tellProblem($("connect-problem"), error);
  }
  $("open").disabled = false;
});

$("again").addEventListener("click", async () => {
  $("list-problem").hidden = true;
  try {
    await read();
    told.clear();
    draw();
    $("said").textContent = "The steps are up to date.";
  } catch (error) {
    tellProblem($("list-problem"), error);
  }
});

// the token was nowhere but here
$("leave").addEventListener("click", () => location.reload());
