// Copying what is shown once. Without this the text in the field can be marked and copied by hand.
"use strict";

const showButtons = () => document.querySelectorAll("[data-copy][hidden]").forEach((button) => (button.hidden = false));

async function copy(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // where the page did not come over https
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await copy(document.getElementById(button.dataset.copy));
  button.textContent = "Copied";
  button.closest("section").querySelector("[data-copied]").textContent = "Copied";
});
document.addEventListener("htmx:after:swap", showButtons);

showButtons();
