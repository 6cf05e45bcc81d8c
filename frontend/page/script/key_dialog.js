// Asks for the API key where the server does.

import { hasKey, keyEvents, setKey } from "./api.js";
import { openDialog } from "./dialogs.js";
import { button, element } from "./dom.js";

let dialog = null;

/** Ask whenever a call was answered with 401. */
export function askForKeys() {
  keyEvents.addEventListener("asked", () => {
    if (!dialog) ask();
  });
}

function ask() {
  const input = element("input", {
    type: "password", id: "api-key", autocomplete: "off", spellcheck: false, autofocus: true, required: true,
  });
  const form = element(
    "form",
    { class: "dialog-body" },
    element(
      "p",
      { class: "soft" },
      hasKey()
        ? "The server does not know the key it was given. It is kept in this tab until you close it."
        : "This server asks for an API key. It is kept in this tab until you close it.",
    ),
    element("div", { class: "field" }, element("label", { for: "api-key" }, "API key"), input),
    element(
      "div",
      { class: "dialog-actions" },
      element("button", { type: "submit", class: "button primary" }, "Use this key"),
      button("Not now", () => dialog.close()),
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!input.value.trim()) return;
    dialog.close();
    setKey(input.value.trim());
  });
  dialog = openDialog("API key", form, { class: "narrow", closed: () => (dialog = null) });
}
