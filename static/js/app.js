// Small helps around htmx: focus, notices, the drawer. Pages work without any of this.
"use strict";

const notices = () => document.getElementById("notices");

/** Moves focus to a panel that asks for it, once, so that it is seen and read. */
function focusPanel() {
  const panel = document.querySelector("[data-focus]");
  if (!panel) return;
  panel.removeAttribute("data-focus");
  panel.focus();
  panel.scrollIntoView({ block: "nearest" });
}

/** Gives every form of a page that was open too long the token that came with the notice. */
function renewToken() {
  const token = document.querySelector("#notice[data-token]")?.dataset.token;
  if (!token) return;
  for (const field of document.querySelectorAll("input[name=csrf_token]")) field.value = token;
  document.body.setAttribute("hx-headers:inherited", JSON.stringify({ "X-CSRFToken": token }));
}

function closeDrawer() {
  const nav = document.getElementById("nav");
  if (nav?.matches(":popover-open")) nav.hidePopover();
}

/** True for what asks by itself every few seconds: nobody has done anything, so nothing is to be told or closed. */
const isQuiet = (event) => Boolean(event.detail?.ctx?.sourceElement?.matches?.("[data-quiet]"));

/** True for a control of a form that is posted, and that somebody has typed into or chosen. */
function isTyped(control) {
  if (control.form?.method !== "post" || control.type === "hidden") return false;
  if (control.options) {
    const options = [...control.options];
    return control.value !== (options.find((option) => option.defaultSelected) ?? options[0])?.value;
  }
  return control.checked !== control.defaultChecked || control.value !== control.defaultValue;
}

/** True while leaving the page would lose what somebody has typed. */
const hasUnsaved = () => [...document.querySelectorAll("input, select, textarea")].some(isTyped);

let underWay = 0; // requests that somebody has made: what asks by itself would come between them and their answer

/** Takes an element's place by one that looks the same and asks no more. */
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
    // what a proxy says in the server's place is no part of the page
    event.preventDefault();
    tellOfNoAnswer();
  }
});
document.addEventListener("htmx:before:request", (event) => {
  if (isQuiet(event)) return;
  underWay += 1;
  notices()?.replaceChildren();
  for (const element of document.querySelectorAll("[data-quiet]")) window.htmx.trigger(element, "htmx:abort");
});
document.addEventListener("htmx:finally:request", (event) => {
  if (!isQuiet(event)) underWay = Math.max(0, underWay - 1);
});
document.addEventListener("htmx:after:swap", (event) => {
  if (isQuiet(event)) return;
  closeDrawer();
  focusPanel();
  renewToken();
});

function tellOfNoAnswer() {
  const template = document.getElementById("offline-notice");
  if (template) notices()?.replaceChildren(template.content.cloneNode(true));
}

// the connection failed, or took longer than htmx waits: nothing came back to swap
document.addEventListener("htmx:error", (event) => {
  if (!event.detail?.ctx?.response && !isQuiet(event)) tellOfNoAnswer();
});

document.addEventListener("click", (event) => {
  event.target.closest?.("[data-dismiss]")?.closest(".notice-bar")?.remove();
});

focusPanel();
