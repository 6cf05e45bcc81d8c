// The parameters that files of this server hold: JSON, in the metadata of an MP4 ("comment") or a PNG ("tritonreel").

import { parseJson } from "./api.js";

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const KEYWORD = "tritonreel";
const COMMENT = "\u00a9cmt";
const LONGEST = 64 * 1024 * 1024; // bytes of a box or chunk that is looked into

/** The parameters in a File; null where it has none. */
export async function readParameters(file) {
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const text = isPng(bytes) ? pngText(bytes) : mp4Comment(bytes);
    const parameters = text && parseJson(text);
    return isObject(parameters) && KEYWORD in parameters && isRequest(parameters) ? parameters : null;
  } catch {
    return null; // another program's file, or a damaged one
  }
}

const isObject = (value) => typeof value === "object" && value !== null;

/** Whether the form can be filled with it: whoever made the file may have written anything. */
function isRequest({ lora = [], ...fields }) {
  const adapters = Array.isArray(lora) && lora.every(isObject) ? lora : [null];
  return [fields, ...adapters].every((one) => one && !Object.values(one).some(isObject));
}

const isPng = (bytes) => PNG_SIGNATURE.every((byte, index) => bytes[index] === byte);

/** The text of the iTXt chunk with our keyword (PNG specification, 11.3.3.4): it is not compressed. */
function pngText(bytes) {
  const view = viewOf(bytes);
  for (let at = PNG_SIGNATURE.length; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (latin1(bytes.subarray(at + 4, at + 8)) === "iTXt" && length < LONGEST) {
      const keywordEnd = content.indexOf(0);
      const isCompressed = content[keywordEnd + 1] === 1;
      const languageEnd = content.indexOf(0, keywordEnd + 3);
      const translatedEnd = content.indexOf(0, languageEnd + 1);
      if (latin1(content.subarray(0, keywordEnd)) === KEYWORD && !isCompressed) return utf8(content.subarray(translatedEnd + 1));
    }
    at += 12 + length;
  }
  return null;
}

/** The text of moov/udta/meta/ilst/©cmt/data, where FFmpeg writes a container's `comment`. */
function mp4Comment(bytes) {
  const userData = box(box(bytes, "moov"), "udta");
  const list = box(box(userData, "meta")?.subarray(4), "ilst"); // 4: version and flags
  const data = box(box(list, COMMENT), "data");
  return data ? utf8(data.subarray(8)) : null; // 8: type and locale
}

/** The content of the first box of that type among those in `bytes`. */
function box(bytes, type) {
  if (!bytes) return null;
  const view = viewOf(bytes);
  for (let at = 0; at + 8 <= bytes.length; ) {
    let [length, head] = [view.getUint32(at), 8];
    if (length === 1) [length, head] = [Number(view.getBigUint64(at + 8)), 16];
    if (length === 0) length = bytes.length - at;
    if (length < head) return null;
    if (latin1(bytes.subarray(at + 4, at + 8)) === type) return bytes.subarray(at + head, at + length);
    at += length;
  }
  return null;
}

const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const latin1 = (bytes) => String.fromCharCode(...bytes);
const utf8 = (bytes) => new TextDecoder("utf-8", { fatal: true }).decode(bytes);
