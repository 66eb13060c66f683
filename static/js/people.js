// The checkbox in the list's header: ticks everyone on the page, and shows whether all are ticked.
"use strict";

const head = () => document.getElementById("pick-page");
const boxes = () => [...document.querySelectorAll(".people tbody input[name=user_id]")];

function tell() {
  const box = head();
  if (!box) return;
  const ticked = boxes().filter((one) => one.checked).length;
  box.checked = ticked > 0 && ticked === boxes().length;
  box.indeterminate = ticked > 0 && !box.checked;
}

document.addEventListener("change", (event) => {
  if (event.target === head()) for (const box of boxes()) box.checked = event.target.checked;
  tell();
});
document.addEventListener("htmx:after:swap", tell);
window.addEventListener("pageshow", tell);
