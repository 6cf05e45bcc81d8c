// A file in the gallery: its thumbnail, which plays while it is pointed at or has the focus.

import { pathOf } from "./api.js";
import { element } from "./dom.js";
import { getJob } from "./jobs.js";
import { seconds } from "./models.js";

/** `open` is called with the entry, `select` with it and whether it is chosen for a comparison. */
export function tile(entry, { open, select }) {
  const { job, file } = entry;
  const image = element("img", { alt: "", loading: "lazy", decoding: "async", src: pathOf(file.thumbnail_url) });
  image.addEventListener("error", () => renew(entry, image), { once: true });
  const opener = element(
    "button",
    { type: "button", class: "tile-open", "aria-label": `Open ${job.kind}: ${job.prompt}`, onclick: () => open(entry) },
    image,
    job.kind === "video" && element("span", { class: "tile-badge" }, `${seconds(job.num_frames, job.fps)} s`),
  );
  if (job.kind === "video") playWhilePointedAt(opener, entry);
  const box = element("input", { type: "checkbox", "aria-label": `Compare: ${job.prompt}`, onchange: () => select(entry, box.checked) });
  entry.box = box;
  entry.node = element(
    "li", { class: "tile", dataset: { job: job.id, index: file.index } }, opener,
    element("label", { class: "tile-select" }, box),
    element("p", { class: "tile-caption clamp", title: job.prompt }, job.prompt),
  );
  return entry.node;
}

function playWhilePointedAt(opener, entry) {
  let video = null;
  const start = () => {
    if (video) return;
    video = element("video", { muted: true, loop: true, playsInline: true, autoplay: true, tabIndex: -1, "aria-hidden": "true" });
    video.src = pathOf(entry.file.url);
    opener.insertBefore(video, opener.querySelector(".tile-badge"));
    video.play().catch(() => {}); // it was left before it began
  };
  const stop = () => {
    if (!video || opener.matches(":hover, :focus-visible")) return;
    video.remove();
    video.removeAttribute("src");
    video.load(); // lets go of the connection
    video = null;
  };
  opener.addEventListener("pointerenter", start);
  opener.addEventListener("focus", start);
  opener.addEventListener("pointerleave", stop);
  opener.addEventListener("blur", stop);
}

/** URLs are signed for about an hour: a page that is open for longer asks for new ones. */
async function renew(entry, image) {
  const job = await getJob(entry.job.id).catch(() => null);
  const file = job?.files.find((one) => one.index === entry.file.index);
  if (!file) return;
  Object.assign(entry, { job, file });
  image.src = pathOf(file.thumbnail_url);
}
