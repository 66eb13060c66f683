// The rows of a person's steps: Enter saves the row, Escape puts back what counts, and what is changed is counted.
"use strict";

const field = (row, name) => row.querySelector(`[name^="${name}."]`);
const rowOf = (event) => event.target.closest?.("[data-quick]");
const isChanged = (row) => field(row, "status").value !== field(row, "seen").value || field(row, "comment").value.trim() !== "";
let atRest = null; // what the foot of the card says while nothing is changed

function count() {
  const told = document.getElementById("changed-count");
  if (!told) return;
  atRest ??= told.textContent;
  let changed = 0;
  for (const row of document.querySelectorAll("[data-quick]")) {
    const is = isChanged(row);
    row.toggleAttribute("data-changed", is);
    changed += is;
  }
  const text = changed ? `${changed} ${changed === 1 ? "step" : "steps"} changed, not saved yet` : atRest;
  if (told.textContent !== text) told.textContent = text;
}

/** Back to the status that counts, without a comment. */
function restore(row) {
  const open = row.querySelector("details[open]");
  const hadFocus = open?.contains(document.activeElement);
  field(row, "status").value = field(row, "seen").value;
  field(row, "comment").value = "";
  if (open) open.open = false;
  if (hadFocus) open.querySelector("summary").focus();
  count();
}

document.addEventListener("keydown", (event) => {
  const row = rowOf(event);
  if (!row || event.isComposing || event.defaultPrevented) return;
  if (event.key === "Enter" && event.target.matches("select, input")) {
    event.preventDefault();
    row.querySelector("button").click();
  }
  if (event.key === "Escape") restore(row);
});

for (const name of ["input", "change"]) {
  document.addEventListener(name, (event) => {
    if (rowOf(event)) count();
  });
}
document.addEventListener("htmx:after:swap", count);
window.addEventListener("pageshow", count);
