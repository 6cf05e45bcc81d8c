// One file, large: its parameters, and what can be made of it.

import { pathOf } from "./api.js";
import { creation, extend } from "./creation.js";
import { showCode } from "./code_dialog.js";
import { confirm, openDialog } from "./dialogs.js";
import { button, element, icon } from "./dom.js";
import { frameOf, imageOf } from "./frames.js";
import { deleteJob, factsOf, parametersOf, sidesOf } from "./jobs.js";
import { takesImage } from "./models.js";
import { complain } from "./notices.js";
import { LABELS } from "./sampling_fields.js";

const LARGEST_SCALE = 6; // of a small video: beyond that it would only be a blur

/**
 * Open an entry of the gallery. `page` does what leads out of the dialog: `models()`, `fill(parameters, image)`,
 * `takeImage(file)`, `submitted(id)`, `deleted(job)`.
 */
export function openDetail({ job, file }, page) {
  const isVideo = job.kind === "video";
  const able = page.models().filter(takesImage);
  const act = (work) => async () => {
    try {
      await work();
      dialog.close();
    } catch (error) {
      complain(error);
    }
  };
  const remove = async () => {
    const files = job.files.length > 1 ? `All ${job.files.length} files of this request are` : `This ${job.kind} is`;
    if (!(await confirm(`Delete the ${job.kind}?`, `${files} removed from the server for good.`, "Delete"))) return;
    await act(async () => {
      await deleteJob(job.id);
      page.deleted(job);
    })();
  };
  const extension = isVideo && able.length > 0 ? extendForm(job, page, () => dialog.close()) : null;
  const words = element(
    "div", { class: "detail-words" },
    element("p", { class: "detail-prompt" }, job.prompt),
    element(
      "div", { class: "dialog-actions" },
      button("Remix", act(() => remix(job, file, page)), { icon: "remix", class: "button primary" }),
      element("a", { class: "button", href: pathOf(file.url), download: nameOf(job, file) }, icon("download"), "Download"),
      extension && button("Extend", () => (extension.hidden = !extension.hidden), { icon: "extend" }),
      able.length > 0 && button(isVideo ? "Use last frame" : "Use as image", act(() => useAsImage(job, file, page)), { icon: "frame" }),
      button("As code", () => showCode(asCreation(job, file, page)), { icon: "code" }),
      button("Delete", remove, { icon: "trash", class: "button danger" }),
    ),
    extension,
    element("dl", { class: "facts" }, ...Object.entries(factsOf(job, file)).flatMap(([name, fact]) => [
      element("dt", {}, LABELS[name] ?? name), element("dd", {}, String(fact)),
    ])),
    ...(job.warnings ?? []).map((warning) => element("p", { class: "hint" }, warning)),
  );
  const dialog = openDialog(
    isVideo ? "Video" : "Image",
    element("div", { class: "dialog-body detail" }, element("div", { class: "stage" }, mediaOf({ job, file }, { controls: true, autoplay: true })), words),
  );
}

/** A video that loops, or an image. */
export function mediaOf({ job, file }, options) {
  const { width, height } = sidesOf(job);
  const source = pathOf(file.url);
  const made = job.kind === "video"
    ? element("video", { src: source, loop: true, muted: true, playsInline: true, "aria-label": job.prompt, ...options })
    : element("img", { src: source, alt: job.prompt });
  made.style.aspectRatio = `${width} / ${height}`;
  made.style.maxWidth = `${LARGEST_SCALE * width}px`;
  return made;
}

/** Everything as it was, but for the seed. A video that started from an image starts from its first frame. */
async function remix(job, file, page) {
  const { seed, ...parameters } = parametersOf(job, file);
  const image = job.task === "image-to-video" && job.kind === "video" ? await frameOf(file, "first") : null;
  page.fill(parameters, image);
}

async function useAsImage(job, file, page) {
  page.takeImage(job.kind === "video" ? await frameOf(file, "last") : await imageOf(file));
}

function asCreation(job, file, page) {
  const model = page.models().find((one) => one.id === job.model) ?? { tasks: [`text-to-${job.kind}`] };
  const image = job.task === "image-to-video" ? new Blob() : null; // which file it was is for the reader to say
  return creation(model, parametersOf(job, file), image);
}

function nameOf(job, file) {
  const suffix = { "video/mp4": "mp4", "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp" }[file.media_type] ?? "bin";
  return `${job.id}${job.files.length > 1 ? `-${file.index}` : ""}.${suffix}`;
}

function extendForm(job, page, done) {
  const prompt = element("textarea", { id: "extend-prompt", rows: 2, value: job.prompt, maxLength: 8000 });
  const length = element("input", { type: "number", id: "extend-seconds", value: Math.max(0.5, Math.round(2 * job.num_frames / job.fps) / 2), min: 0.1, step: 0.1 });
  const send = element("button", { type: "submit", class: "button primary" }, "Make it longer");
  const form = element(
    "form", { class: "extend", hidden: true },
    element("div", { class: "field" }, element("label", { for: "extend-prompt" }, "How it goes on"), prompt),
    element("div", { class: "field" }, element("label", { for: "extend-seconds" }, "Seconds to add"), length),
    send,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      page.submitted(await extend(job.id, prompt.value, Number(length.value)));
      done();
    } catch (error) {
      complain(error);
    } finally {
      send.disabled = false;
    }
  });
  return form;
}
