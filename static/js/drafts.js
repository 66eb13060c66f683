// The draft form: reports when it is left without saving. Pages work without any of this.
"use strict";

const SAVED_ON_PURPOSE = "form[data-guard], form[data-leaves]";
let saved = false;

document.addEventListener("submit", (event) => {
  saved ||= event.target.matches(SAVED_ON_PURPOSE);
});

document.addEventListener("click", (event) => {
  saved ||= Boolean(wayOut(event));
});

window.addEventListener("pagehide", () => {
  const address = document.getElementById("editing-now")?.dataset.leave;
  if (saved || !address) return;
  const token = document.querySelector("input[name=csrf_token]").value;
  navigator.sendBeacon(address, new URLSearchParams({ csrf_token: token }));
});

// the save was stopped: a user who keeps typing has not left
for (const [on, name] of [[document, "input"], [window, "pageshow"]]) {
  on.addEventListener(name, () => {
    saved = false;
  });
}
