// Dialogs: the browser's own, which hold the focus and end with Escape.

import { button, element, iconButton } from "./dom.js";

let count = 0;

/** Open a dialog; it is removed when it closes. `closed` is called then. */
export function openDialog(title, body, { class: kind = "", closed = () => {} } = {}) {
  const titleId = `dialog-${(count += 1)}`;
  const dialog = element("dialog", { class: kind, "aria-labelledby": titleId });
  dialog.append(
    element(
      "div",
      { class: "dialog-head" },
      element("h2", { id: titleId }, title),
      iconButton("Close", "close", () => dialog.close()),
    ),
    body,
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // the backdrop is its own
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Whether a person says yes. */
export function confirm(title, question, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const decide = (value) => () => {
      answer = value;
      dialog.close();
    };
    const dialog = openDialog(
      title,
      element(
        "div",
        { class: "dialog-body" },
        element("p", {}, question),
        element(
          "div",
          { class: "dialog-actions" },
          button(yes, decide(true), { class: "button danger" }),
          button("Keep it", decide(false), { autofocus: true }),
        ),
      ),
      { class: "narrow", closed: () => resolve(answer) },
    );
  });
}
