// Two files side by side; videos play in step.

import { openDialog } from "./dialogs.js";
import { button, byId, element, icon } from "./dom.js";
import { mediaOf } from "./detail.js";
import { factsOf } from "./jobs.js";
import { LABELS } from "./sampling_fields.js";

const APART = 0.06; // seconds that videos may be apart

/** Show how many are selected, and the way to compare them. */
export function showSelection(entries, unselect) {
  const bar = byId("compare-bar");
  bar.hidden = entries.length === 0;
  if (bar.hidden) return;
  bar.replaceChildren(
    element("span", {}, entries.length === 1 ? "Select one more" : "2 selected"),
    button("Compare", () => openComparison(entries), { class: "button primary", disabled: entries.length < 2 }),
    button("Clear", unselect),
  );
}

function openComparison(entries) {
  const media = entries.map((entry) => mediaOf(entry, {}));
  const videos = media.filter((one) => one instanceof HTMLVideoElement);
  const figures = entries.map(({ job }, index) => element(
    "figure", {}, element("div", { class: "stage" }, media[index]),
    element("figcaption", { class: "clamp", title: job.prompt }, job.prompt),
  ));
  openDialog(
    "Compare",
    element("div", { class: "dialog-body" }, element("div", { class: "comparison" }, ...figures), videos.length > 0 && transport(videos), differences(entries)),
    { closed: () => videos.forEach((video) => video.pause()) },
  );
}

/** One play button and one slider for all videos, the longest of which leads. */
function transport(videos) {
  const slider = element("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": "Position" });
  const toggle = button("Play", () => (lead().paused ? play() : pause()));
  const lead = () => videos.reduce((one, other) => ((other.duration || 0) > (one.duration || 0) ? other : one));
  const seek = (time) => videos.forEach((video) => (video.currentTime = Math.min(time, video.duration || 0)));
  const say = (isPlaying) => toggle.replaceChildren(icon(isPlaying ? "pause" : "play"), isPlaying ? "Pause" : "Play");
  const play = () => {
    videos.forEach((video) => video.play().catch(() => {}));
    say(true);
  };
  const pause = () => {
    videos.forEach((video) => video.pause());
    seek(lead().currentTime);
    say(false);
  };
  for (const video of videos) {
    video.loop = false;
    video.addEventListener("timeupdate", () => {
      if (video !== lead() || !video.duration) return;
      slider.value = (1000 * video.currentTime) / video.duration;
      for (const other of videos) {
        const time = Math.min(video.currentTime, other.duration || 0);
        if (other !== video && Math.abs(other.currentTime - time) > APART) other.currentTime = time;
      }
    });
    video.addEventListener("ended", () => {
      if (video !== lead()) return;
      seek(0);
      play();
    });
  }
  slider.addEventListener("input", () => seek((slider.value / 1000) * (lead().duration || 0)));
  Promise.all(videos.map((video) => video.readyState >= 2 || new Promise((ready) => video.addEventListener("loadeddata", ready, { once: true })))).then(play);
  say(false);
  return element("div", { class: "transport" }, toggle, slider);
}

/** A table of what they do not have in common. */
function differences(entries) {
  const facts = entries.map(({ job, file }) => ({ prompt: job.prompt, ...factsOf(job, file) }));
  const names = [...new Set(facts.flatMap(Object.keys))];
  const rows = names
    .filter((name) => String(facts[0][name]) !== String(facts[1][name]))
    .map((name) => element("tr", {}, element("th", { scope: "row" }, LABELS[name] ?? "Prompt"), ...facts.map((one) => element("td", {}, String(one[name] ?? "–")))));
  if (!rows.length) return element("p", { class: "soft" }, "Both were made with the same parameters.");
  return element("table", { class: "differences" }, element("caption", { class: "visually-hidden" }, "What differs"), element("tbody", {}, ...rows));
}
