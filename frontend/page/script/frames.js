// Frames of a video, drawn in this browser.

import { call, pathOf } from "./api.js";
import { element } from "./dom.js";

/** The first or the last frame of a video of this server, as a PNG file. */
export async function frameOf(file, which) {
  const blob = await (await call(pathOf(file.url))).blob();
  const video = element("video", { muted: true, playsInline: true, preload: "auto" });
  const url = URL.createObjectURL(blob);
  try {
    video.src = url;
    await once(video, "loadeddata");
    if (which === "last") {
      video.currentTime = Math.max(0, video.duration - 0.001);
      await once(video, "seeked");
    }
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const png = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    return new File([png], `${which} frame.png`, { type: "image/png" });
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The file of an image, to start from. */
export async function imageOf(file) {
  const blob = await (await call(pathOf(file.url))).blob();
  return new File([blob], "image", { type: blob.type });
}

function once(video, event) {
  return new Promise((resolve, reject) => {
    video.addEventListener(event, resolve, { once: true });
    video.addEventListener("error", () => reject(new Error("This browser cannot read the video.")), { once: true });
  });
}
