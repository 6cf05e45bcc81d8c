// Short messages at the bottom of the page, which screen readers say.

import { byId, element, iconButton } from "./dom.js";

const SECONDS = { plain: 5, error: 12 };

/** Show a sentence for a while. */
export function notify(message, kind = "plain") {
  const notice = element("div", { class: `notice ${kind}` }, element("span", {}, message));
  const close = () => notice.remove();
  notice.append(iconButton("Close this message", "close", close));
  byId("notices").append(notice);
  setTimeout(close, 1000 * SECONDS[kind]);
}

export const complain = (error) => notify(error.message, "error");
