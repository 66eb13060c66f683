// The rows of a person's steps: Enter saves the row, Escape restores it, and changed rows are counted. A row and all rows
// are saved one after the other.
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

let waiting = null; // the button pressed while another request was saving the same row

/** True while the row is being saved by another form's request: both have its row_version, so the second would conflict. */
const isBeingSaved = (source) =>
  document.querySelector(source.id === "all-steps" ? "#steps li[aria-busy]" : "#all-steps[aria-busy]") !== null;

document.addEventListener("htmx:config:request", (event) => {
  const { sourceElement, request } = event.detail.ctx;
  if (request.form?.id !== "all-steps" || !isBeingSaved(sourceElement)) return;
  event.preventDefault();
  waiting = request.submitter ?? sourceElement;
});
document.addEventListener("htmx:finally:request", () => {
  const button = waiting;
  if (!button || document.querySelector("[aria-busy]")) return;
  waiting = null;
  // its row was replaced, or nothing is left to save
  if (!button.isConnected || !(button.closest("li") || document.querySelector("[data-changed]"))) return;
  button.click();
});
window.addEventListener("pageshow", count);
