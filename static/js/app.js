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

function closeDrawer() {
  const nav = document.getElementById("nav");
  if (nav?.matches(":popover-open")) nav.hidePopover();
}

/** True for what asks by itself every few seconds: nobody has done anything, so nothing is to be told or closed. */
const isQuiet = (event) => Boolean(event.detail?.ctx?.sourceElement?.matches?.("[data-quiet]"));

document.addEventListener("htmx:config:request", (event) => {
  if (isQuiet(event) && document.hidden) event.preventDefault();
});
document.addEventListener("htmx:before:response", (event) => {
  if (isQuiet(event) && event.detail.ctx.response.status >= 400) event.preventDefault();
});
document.addEventListener("htmx:before:request", (event) => {
  if (!isQuiet(event)) notices()?.replaceChildren();
});
document.addEventListener("htmx:after:swap", (event) => {
  if (isQuiet(event)) return;
  closeDrawer();
  focusPanel();
});

// the connection failed, or took longer than htmx waits: nothing came back to swap
document.addEventListener("htmx:error", (event) => {
  const template = document.getElementById("offline-notice");
  if (event.detail?.ctx?.response || isQuiet(event) || !template) return;
  notices()?.replaceChildren(template.content.cloneNode(true));
});

document.addEventListener("click", (event) => {
  event.target.closest?.("[data-dismiss]")?.closest(".notice-bar")?.remove();
});

// a row that is edited in place: Enter saves from the select too, Escape puts back what was there
document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("form[data-quick]");
  if (!form || event.isComposing || event.defaultPrevented) return;
  if (event.key === "Enter" && event.target.matches("select")) {
    event.preventDefault();
    form.requestSubmit();
  }
  if (event.key === "Escape") {
    const open = event.target.closest("details[open]");
    form.reset();
    for (const details of form.querySelectorAll("details[open]")) details.open = false;
    open?.querySelector("summary").focus();
  }
});

focusPanel();
