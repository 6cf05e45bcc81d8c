// A card of a job that is being made: its place, its steps, and what it is going to look like.

import { complain } from "./notices.js";
import { button, element, icon, iconButton } from "./dom.js";
import { followJob } from "./job_feed.js";
import { deleteJob, sidesOf } from "./jobs.js";

export class JobCard {
  /** `ended` gets the card and the job as it ended, or null where it is gone; `retry` the job. */
  constructor(job, { ended, retry }) {
    this.job = job;
    this.ended = ended;
    this.aborter = new AbortController();
    const { width, height } = sidesOf(job);
    this.image = element("img", { alt: "Preview of the result", hidden: true });
    this.waiting = icon("film");
    const media = element("div", { class: "card-media" }, this.waiting, this.image);
    media.style.aspectRatio = `${width} / ${height}`;
    this.status = element("span", { class: "numbers" }, "Queued");
    this.progress = element("progress", { class: "bar-progress", max: 100, value: 0, "aria-label": "Progress" });
    this.error = element("p", { class: "error-text", hidden: true });
    this.cancelButton = iconButton("Cancel", "close", () => this.cancel(), { "aria-label": `Cancel: ${job.prompt}` });
    this.retryButton = button("Edit and retry", () => { retry(job); this.close(); }, { hidden: true });
    this.node = element(
      "li", { class: "card", dataset: { job: job.id, status: job.status } }, media,
      element("div", { class: "card-words" },
        element("p", { class: "clamp", title: job.prompt }, job.prompt), this.progress, this.error,
        element("div", { class: "card-line" }, this.status, this.retryButton, this.cancelButton)),
    );
    this.hear(job.status, { progress: job.progress });
  }

  async follow() {
    try {
      const job = await followJob(this.job, (type, data) => this.hear(type, data), this.aborter.signal);
      if (this.aborter.signal.aborted) return;
      if (job?.status === "failed") this.fail(job);
      else this.ended(this, job);
    } catch (error) {
      this.fail({ error });
    }
  }

  hear(type, data) {
    if (type === "preview") return this.preview(data);
    if (data.progress !== undefined) this.progress.value = data.progress;
    if (["queued", "in_progress"].includes(type)) this.node.dataset.status = type;
    this.status.textContent = words(type, data);
    return null;
  }

  preview({ b64_json: content, step, steps }) {
    this.image.src = `data:image/webp;base64,${content}`;
    this.image.dataset.step = step;
    // Early estimates are blurred the more: they sharpen into the result.
    this.image.style.filter = step < steps ? `blur(${Math.round(6 * (1 - step / steps))}px)` : "none";
    this.image.hidden = false;
    this.waiting.toggleAttribute("hidden", true);
  }

  fail(job) {
    this.node.dataset.status = "failed";
    this.status.textContent = "Failed";
    this.error.textContent = job.error?.message ?? "It failed.";
    this.error.hidden = this.retryButton.hidden = false;
    this.progress.hidden = true;
    this.cancelButton.title = "Dismiss";
    this.cancelButton.setAttribute("aria-label", `Dismiss: ${this.job.prompt}`);
  }

  /** At once for who looks; the server is told meanwhile. */
  async cancel() {
    this.close();
    try {
      await deleteJob(this.job.id);
    } catch (error) {
      if (error.status !== 404) complain(error);
    }
  }

  close() {
    this.aborter.abort();
    this.ended(this, null);
  }
}

function words(type, { queue_position: before, step, steps, frames_done: done, frames, seconds_left: left }) {
  if (type === "completed") return "Done";
  if (type === "queued") return before ? `Queued, ${before} before it` : "Queued";
  let text = "Starting";
  if (done) text = frames > 1 ? `Decoding ${done} of ${frames}` : "Decoding";
  else if (steps && step === steps) text = "Decoding";
  else if (steps) text = `Step ${step} of ${steps}`;
  return left ? `${text} · ${duration(left)} left` : text;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.floor(seconds / 60)} min`;
}
