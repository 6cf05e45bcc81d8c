// The request as a program: curl, or Python.

import { hasKey, writeJson } from "./api.js";
import { openDialog } from "./dialogs.js";
import { button, element } from "./dom.js";
import { notify } from "./notices.js";

const IMAGE = "image.png";
const DECODE = `import base64, json, sys; open("image.png", "wb").write(base64.b64decode(json.load(sys.stdin)["data"][0]["b64_json"]))`;

/** Show a creation (`creation.js`) as code. */
export function showCode(creation) {
  const code = element("code");
  const tabs = [["curl", asCurl], ["Python", asPython]].map(([label, write], index) => {
    const input = element("input", { type: "radio", name: "language", checked: index === 0, onchange: () => (code.textContent = write(creation)) });
    return element("label", { class: "segment" }, input, element("span", {}, label));
  });
  code.textContent = asCurl(creation);
  openDialog(
    "As code",
    element(
      "div",
      { class: "dialog-body" },
      element("fieldset", { class: "segments" }, element("legend", { class: "visually-hidden" }, "Language"), ...tabs),
      element("pre", { class: "code", tabIndex: 0, role: "region", "aria-label": "Code" }, code),
      element("div", { class: "dialog-actions" }, button("Copy", () => copy(code), { icon: "copy", class: "button primary" })),
    ),
    { class: "medium" },
  );
}

/** Video requests are answered with the file itself, which is one. */
function target({ kind, fields }) {
  const { n, ...single } = fields;
  return kind === "image"
    ? { url: `${location.origin}/v1/images/generations`, file: "image.png", fields }
    : { url: `${location.origin}/v1/videos/sync`, file: "video.mp4", fields: single };
}

export function asCurl(creation) {
  const { url, file, fields } = target(creation);
  const lines = [`curl -sS --fail-with-body ${url}`];
  if (hasKey()) lines.push(`  -H "Authorization: Bearer $TRITONREEL_API_KEY"`);
  if (creation.image) {
    for (const [name, value] of Object.entries(fields)) lines.push(`  --form-string ${quoted(`${name}=${asText(value)}`)}`);
    lines.push(`  -F input_reference=@${IMAGE}`);
  } else {
    lines.push("  -H 'Content-Type: application/json'", `  -d ${quoted(writeJson(fields))}`);
  }
  if (creation.kind === "video") return [...lines, `  -o ${file}`].join(" \\\n");
  return `${lines.join(" \\\n")} \\\n  | python3 -c '${DECODE}'`;
}

export function asPython(creation) {
  const { url, file, fields } = target(creation);
  const key = hasKey() ? `    headers={"Authorization": "Bearer " + os.environ["TRITONREEL_API_KEY"]},\n` : "";
  const body = creation.image
    ? `    data=${python(Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, asText(value)])))},\n` +
      `    files={"input_reference": open("${IMAGE}", "rb")},\n`
    : `    json=${python(fields)},\n`;
  const content = creation.kind === "video" ? "answer.content" : `base64.b64decode(answer.json()["data"][0]["b64_json"])`;
  const imports = [creation.kind === "image" && "import base64", hasKey() && "import os"].filter(Boolean);
  return (
    `${imports.length ? `${imports.join("\n")}\n\n` : ""}import httpx\n\n` +
    `answer = httpx.post(\n    "${url}",\n${key}${body}    timeout=None,\n)\n` +
    `answer.raise_for_status()\nopen("${file}", "wb").write(${content})\n`
  );
}

const asText = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
/** A literal: JSON's texts and numbers are Python's, and fields have no others. */
const python = (value) => writeJson(value, 4).replaceAll("\n", "\n    ");

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    notify("Copied");
  } catch {
    getSelection().selectAllChildren(code); // not over plain HTTP from elsewhere: then by hand
    notify("Selected: press Ctrl+C to copy");
  }
}
