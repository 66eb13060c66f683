// Copies what is shown only once. Without this script, the text can be selected and copied by hand.
"use strict";

const showButtons = () => document.querySelectorAll("[data-copy][hidden]").forEach((button) => (button.hidden = false));

/** True if the text was copied; otherwise it is selected, to be copied by hand. */
async function copy(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    return document.execCommand("copy"); // for pages not served over https
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
