// The rows of a person's steps: Enter saves the row, Escape restores it, and changed rows are counted.
"use strict";

const field = (row, name) => row.querySelector(`[name^="${name}."]`);
const rowOf = (event) => event.target.closest?.("[data-quick]");
const hasComment = (row) => field(row, "comment").value.trim() !== "";
const isChanged = (row) => field(row, "status").value !== field(row, "seen").value || hasComment(row);
let atRest = null; // the card's footer text while nothing is changed
let before = 0; // how many rows were changed at the last count

function count() {
  const told = document.getElementById("changed-count");
  if (!told) return;
  atRest ??= told.textContent;
  let changed = 0;
  for (const row of document.querySelectorAll("[data-quick]")) {
    const is = isChanged(row);
    row.toggleAttribute("data-changed", is);
    row.toggleAttribute("data-commented", hasComment(row));
    changed += is;
  }
  // while nothing is changed, the server's text stays
  const text = changed ? `${changed} ${changed === 1 ? "step" : "steps"} changed, not saved yet` : atRest;
  if ((changed || before) && told.textContent !== text) told.textContent = text;
  before = changed;
}

/** Folds a comment away, keeping its text. */
function fold(comment) {
  const hadFocus = comment.contains(document.activeElement);
  comment.open = false;
  if (hadFocus) comment.querySelector("summary").focus();
}

/** Restores the current status, without a comment. */
function restore(row) {
  const open = row.querySelector("details[open]");
  field(row, "status").value = field(row, "seen").value;
  field(row, "comment").value = "";
  if (open) fold(open);
  count();
}

document.addEventListener("keydown", (event) => {
  const row = rowOf(event);
  if (!row || event.isComposing || event.defaultPrevented) return;
  if (event.key === "Enter" && event.target.matches("select, input")) {
    event.preventDefault();
    row.querySelector("button").click();
  }
  if (event.key !== "Escape") return;
  const comment = event.target.closest("details[open]");
  if (comment) fold(comment);
  else restore(row);
});

// not when entering another field: its choices would open where it was before
document.addEventListener("click", (event) => {
  if (event.target.matches?.("input, select, option")) return;
  for (const comment of document.querySelectorAll("[data-quick] details[open]")) {
    if (!comment.closest("li").contains(event.target)) fold(comment);
  }
});

for (const name of ["input", "change"]) {
  document.addEventListener(name, (event) => {
    if (rowOf(event)) count();
  });
}
document.addEventListener("htmx:after:swap", count);
window.addEventListener("pageshow", count);
