// Helpers around htmx: focus, notices, the drawer. Pages work without any of this.
"use strict";

const notices = () => document.getElementById("notices");

/** Focuses a panel marked data-focus, once, so that it is seen and read; "last" gives way to anything else. */
function focusPanel() {
  const asking = [...document.querySelectorAll("[data-focus]")];
  const elsewhere = document.querySelector("[autofocus], :target");
  const panel = asking.find((one) => one.dataset.focus !== "last") ?? (elsewhere ? null : asking[0]);
  for (const one of asking) one.removeAttribute("data-focus");
  if (!panel) return;
  panel.focus();
  panel.scrollIntoView({ block: "nearest" });
}

/** Puts the new token that came with a refusal into every form of a page that was open too long. */
function renewToken(token) {
  for (const field of document.querySelectorAll("input[name=csrf_token]")) field.value = token;
  document.body.setAttribute("hx-headers:inherited", JSON.stringify({ "X-CSRFToken": token }));
}

/** Fetches, and retries once if only the token was too old, unless somebody else has signed in since. */
async function askTwice(address, request) {
  const response = await fetch(address, request);
  const token = response.headers.get("X-CSRFToken");
  if (!token) return response;
  renewToken(token);
  if (response.headers.get("X-Account") !== (document.body.dataset.account ?? "")) return response;
  request.headers["X-CSRFToken"] = token;
  if (request.body?.has("csrf_token")) request.body.set("csrf_token", token);
  return fetch(address, request);
}

function closeDrawer() {
  const nav = document.getElementById("nav");
  if (nav?.matches(":popover-open")) nav.hidePopover();
}

/** True for automatic polling: the user has done nothing, so nothing is announced or closed. */
const isQuiet = (event) => Boolean(event.detail?.ctx?.sourceElement?.matches?.("[data-quiet]"));

/** A control's value before any input: the saved value if the page states one, else the one it loaded with. */
function untouched(control) {
  const base = control.form.elements[`base_${control.name}`];
  if (base) return base.value.replaceAll("\r\n", "\n");
  if (!control.options) return control.dataset.saved ?? control.defaultValue;
  const options = [...control.options];
  return control.dataset.saved ?? (options.find((option) => option.defaultSelected) ?? options[0])?.value;
}

/** True for a changed control of a POST form. Forms with passwords don't count: browsers fill those in. */
function isTyped(control) {
  const { form } = control;
  if (form?.method !== "post" || control.type === "hidden" || form.querySelector("[type=password]")) return false;
  return control.checked !== control.defaultChecked || control.value !== untouched(control);
}

/** True while leaving the page would lose input or a [data-unsaved] element, apart from the form `besides`. */
const hasUnsaved = (besides = null) =>
  [...document.querySelectorAll("input, select, textarea, [data-unsaved]")].some(
    (one) => (one.form ?? one) !== besides && ("unsaved" in one.dataset || isTyped(one)),
  );

let underWay = 0; // requests by the user: polling would interfere with their answers

/** Replaces an element by an identical one that no longer polls. */
const silence = (element) => element.replaceWith(element.cloneNode(true));

document.addEventListener("htmx:config:request", (event) => {
  const { headers } = event.detail.ctx.request;
  if (hasUnsaved()) headers["X-Unsaved"] = "1";
  if (!isQuiet(event)) return;
  if (document.hidden || underWay) event.preventDefault();
  headers["X-Quiet"] = "1";
});
document.addEventListener("htmx:before:response", (event) => {
  const { status, headers } = event.detail.ctx.response;
  if (status < 400) return;
  if (isQuiet(event)) {
    event.preventDefault();
    if ([401, 403].includes(status)) silence(event.detail.ctx.sourceElement);
  } else if (!headers.has("X-Request-ID")) {
    // a proxy's own error page is no part of this page
    event.preventDefault();
    tellOfNoAnswer();
  }
});
document.addEventListener("htmx:before:request", (event) => {
  event.detail.ctx.fetch = askTwice;
  if (isQuiet(event)) return;
  underWay += 1;
  event.detail.ctx.target.setAttribute("aria-busy", "true");
  notices()?.replaceChildren();
  // it had the focus when the page was loaded: htmx would give it back to a field that a swap preserves
  for (const element of document.querySelectorAll("[autofocus]")) element.removeAttribute("autofocus");
  for (const element of document.querySelectorAll("[data-quiet]")) window.htmx.trigger(element, "htmx:abort");
});
document.addEventListener("htmx:finally:request", (event) => {
  if (isQuiet(event)) return;
  underWay = Math.max(0, underWay - 1);
  if (underWay) return; // the target of one that was replaced waits for the next one's answer
  for (const element of document.querySelectorAll("[aria-busy]")) element.removeAttribute("aria-busy");
});
document.addEventListener("htmx:after:swap", (event) => {
  if (isQuiet(event)) return;
  closeDrawer();
  focusPanel();
});

function tellOfNoAnswer() {
  const template = document.getElementById("offline-notice");
  if (template) notices()?.replaceChildren(template.content.cloneNode(true));
}

// the connection failed or timed out: there is nothing to swap
document.addEventListener("htmx:error", (event) => {
  if (!event.detail?.ctx?.response && !isQuiet(event)) tellOfNoAnswer();
});

/** True for a click that the browser answers in another way, such as in a new tab. */
const opensElsewhere = (event) => event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;

// htmx would take such a click on its links from the browser and then do nothing
document.addEventListener(
  "click",
  (event) => {
    if (opensElsewhere(event) && event.target.closest?.("a[hx-get]")) event.stopPropagation();
  },
  true,
);

/** The link that leaves the page on purpose; falsy if it opens elsewhere. */
const wayOut = (event) => !opensElsewhere(event) && event.target.closest?.("a[data-leaves]");

document.addEventListener("click", (event) => {
  event.target.closest?.("[data-dismiss]")?.closest(".notice-bar")?.remove();
  const link = wayOut(event);
  if (link) leaving = link.closest("[data-unsaved], form");
});

const GIVEN_UP_MS = 10_000; // after this, a form that was stopped or answered with a file can be sent again
let awaited = null; // the submitted form: a second press would lose the first one's answer
let leaving = null; // the form being sent or left on purpose: no warning about its input
let givenUp = 0;

function forget() {
  awaited = leaving = null;
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.matches(".theme")) {
    event.preventDefault();
    switchTheme(form, event.submitter);
  } else if (form === awaited) {
    event.preventDefault();
  } else {
    awaited = leaving = form;
    clearTimeout(givenUp);
    givenUp = setTimeout(forget, GIVEN_UP_MS);
  }
});

window.addEventListener("beforeunload", (event) => {
  const onPurpose = leaving;
  leaving = null;
  if (onPurpose?.matches("form[data-leaves]") || !hasUnsaved(onPurpose)) return;
  awaited = null; // if the user stays, nothing was sent
  event.preventDefault();
});
window.addEventListener("pageshow", forget);

/** Saves the theme on the server. An error, in the form for htmx, is shown as a notice. */
async function rememberTheme(address, body) {
  const headers = { "HX-Request": "true" };
  const response = await askTwice(address, { method: "POST", headers, body, redirect: "manual" });
  if (response.type === "opaqueredirect") return;
  if (!response.headers.has("X-Request-ID")) tellOfNoAnswer();
  else notices().innerHTML = await response.text();
}

/** Switches the theme without reloading, so typed text and the shown list stay; the server remembers it. */
function switchTheme(form, button) {
  rememberTheme(form.action, new URLSearchParams(new FormData(form, button))).catch(tellOfNoAnswer);
  if (button.value === "system") delete document.documentElement.dataset.bsTheme;
  else document.documentElement.dataset.bsTheme = button.value;
  for (const one of document.querySelectorAll(".theme button")) one.ariaPressed = String(one.value === button.value);
}

focusPanel();
