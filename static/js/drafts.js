// The form of a draft: asks before what was typed is lost, and says when it is left. Pages work without any of this.
"use strict";

const SAVED_ON_PURPOSE = "form[data-guard], form[data-leaves]";
let leaving = false;

/** True when the form holds what is not saved: its fields differ from `base_...`, or from how they came. */
function isDirty(form) {
  return [...form.elements].some((control) => {
    if (control.type === "radio") return true; // a choice that is still to be saved
    if (!control.name || !control.matches("input:not([type=hidden]), textarea")) return false;
    const base = form.elements[`base_${control.name}`];
    return control.value !== (base ? base.value : control.defaultValue).replaceAll("\r\n", "\n");
  });
}

const unsaved = () => [...document.querySelectorAll("form[data-guard]")].filter(isDirty);

document.addEventListener("submit", (event) => {
  leaving ||= event.target.matches(SAVED_ON_PURPOSE);
});

document.addEventListener("click", (event) => {
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0;
  leaving ||= !elsewhere && Boolean(event.target.closest?.("a[data-leaves]"));
});

window.addEventListener("beforeunload", (event) => {
  if (!leaving && unsaved().length) event.preventDefault();
});

// htmx would put something else in the form's place
document.addEventListener("htmx:before:request", (event) => {
  const { sourceElement, target } = event.detail.ctx;
  const lost = unsaved().some((form) => target?.contains(form) && !form.contains(sourceElement));
  if (lost && !window.confirm("What you typed is not saved. Leave it?")) event.preventDefault();
});

window.addEventListener("pagehide", () => {
  const address = document.getElementById("editing-now")?.dataset.leave;
  if (leaving || !address) return;
  const token = document.querySelector("input[name=csrf_token]").value;
  navigator.sendBeacon(address, new URLSearchParams({ csrf_token: token }));
});

window.addEventListener("pageshow", () => {
  leaving = false;
});
