// Copying what is shown once. Without this the text in the field can be marked and copied by hand.
"use strict";

const showButtons = () => document.querySelectorAll("[data-copy][hidden]").forEach((button) => (button.hidden = false));

/** True when it was copied; else it is marked, to be copied by hand. */
async function copy(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    return document.execCommand("copy"); // where the page did not come over https
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const isCopied = await copy(document.getElementById(button.dataset.copy));
  const said = button.closest("section").querySelector("[data-copied]");
  button.textContent = isCopied ? "Copied" : "Copy";
  said.textContent = isCopied ? "Copied" : "Could not copy. Select the text and copy it yourself.";
  said.className = isCopied ? "sr" : "hint";
});
document.addEventListener("htmx:after:swap", showButtons);

showButtons();
