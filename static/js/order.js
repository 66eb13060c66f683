// Reorders the steps by dragging a handle or with the arrow keys on it. The buttons beside it need no script.
"use strict";

const FAR = 1_000;
const KEYS = { ArrowUp: -1, ArrowDown: 1, Home: -FAR, End: FAR };
let held = null; // the row being dragged
let sent = null; // the form being saved, and the ids of the row and the control
let waiting = 0; // how far to move that row afterwards

const orderForm = () => document.querySelector("form[data-order]");
const rowsBeside = (row) => [...row.parentElement.children];
const isRefused = () => Boolean(document.querySelector("#steps [role=alert]"));
const values = (name) => new FormData(orderForm()).getAll(name);
const middle = (row) => row.getBoundingClientRect().top + row.offsetHeight / 2;

function say(row) {
  const rows = rowsBeside(row);
  const place = `step ${rows.indexOf(row) + 1} of ${rows.length}`;
  document.getElementById("order-said").textContent = `${row.dataset.title}: ${place}`;
}

/** Moves a row by up to `by` places. Its neighbours move around it, so that it keeps the focus. */
function shift(row, by) {
  for (let left = by; left < 0 && row.previousElementSibling; left += 1) row.after(row.previousElementSibling);
  for (let left = by; left > 0 && row.nextElementSibling; left -= 1) row.before(row.nextElementSibling);
  rowsBeside(row).forEach((one, index, all) => {
    one.querySelector(".place").textContent = index + 1;
    one.querySelector("[name=up]").ariaDisabled = String(index === 0);
    one.querySelector("[name=down]").ariaDisabled = String(index === all.length - 1);
  });
}

/** Restores the order that was loaded. */
function restore() {
  const form = orderForm();
  const focused = document.activeElement;
  for (const step of form ? values("seen") : []) {
    const row = document.getElementById(`step-row-${step}`);
    row.parentElement.append(row);
    shift(row, 0);
  }
  if (form?.contains(focused)) focused.focus();
}

function save(row) {
  if (values("order").join() === values("seen").join()) say(row);
  else orderForm().requestSubmit();
}

function release() {
  const row = held;
  row?.classList.remove("is-held");
  held = null;
  return row;
}

/** While a row is being saved, only that row can be moved: another save's answer would show an outdated order. */
function wait(row, by) {
  if (row.id === sent.row) waiting += by;
}

document.addEventListener("keydown", (event) => {
  const row = event.target.closest?.("[data-handle]")?.closest("tr");
  if (event.key === "Escape" && release()) restore();
  if (!row || held || !KEYS[event.key]) return;
  event.preventDefault();
  if (sent) {
    wait(row, KEYS[event.key]);
    return;
  }
  shift(row, KEYS[event.key]);
  save(row);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("form[data-order] :is([name=up], [name=down])");
  if (!button || !sent) return;
  event.preventDefault();
  wait(button.closest("tr"), button.name === "up" ? -1 : 1);
});

document.addEventListener("pointerdown", (event) => {
  const handle = event.target.closest?.("[data-handle]");
  if (!handle || event.button !== 0 || sent) return;
  event.preventDefault();
  handle.focus();
  held = handle.closest("tr");
  held.classList.add("is-held");
});

document.addEventListener("pointermove", (event) => {
  if (!held) return;
  const before = rowsBeside(held).indexOf(held);
  while (held.previousElementSibling && event.clientY < middle(held.previousElementSibling)) shift(held, -1);
  while (held.nextElementSibling && event.clientY > middle(held.nextElementSibling)) shift(held, 1);
  if (rowsBeside(held).indexOf(held) === before) return;
  say(held);
  held.scrollIntoView({ block: "nearest" });
});

document.addEventListener("pointerup", () => {
  const row = release();
  if (row) save(row);
});
document.addEventListener("pointercancel", () => {
  if (release()) restore();
});

document.addEventListener("htmx:before:request", (event) => {
  if (!event.detail.ctx.sourceElement.matches("form[data-order]")) return;
  const control = event.detail.ctx.request.submitter ?? document.activeElement;
  sent = { form: orderForm(), row: control.closest("tr")?.id, control: control.id };
});

document.addEventListener("htmx:after:swap", () => {
  if (!sent) return;
  const row = document.getElementById(sent.row);
  document.getElementById(sent.control)?.focus();
  // a fault is told elsewhere and leaves the list as it was sent
  if (row && orderForm() !== sent.form && !isRefused()) say(row);
});

document.addEventListener("htmx:finally:request", () => {
  if (!sent) return;
  const row = document.getElementById(sent.row);
  const by = waiting;
  sent = null;
  waiting = 0;
  if (!orderForm()) return;
  // after a refusal the rows are still in the order that was sent
  if (values("order").join() !== values("seen").join()) restore();
  else if (row && by && !isRefused()) {
    shift(row, by);
    save(row);
  }
});

document.documentElement.classList.add("can-drag");
