// Adapters (LoRA) that fit the model, each with its strength.

import { get } from "./api.js";
import { element } from "./dom.js";
import { isHosted } from "./models.js";

export class AdaptersField {
  constructor() {
    this.rows = [];
    this.list = element("div", { class: "field" });
    this.node = element("div", { class: "field", role: "group", "aria-label": "Adapters", hidden: true },
      element("span", { class: "label" }, "Adapters"), this.list);
  }

  async show(model) {
    if (this.model === model) return;
    this.model = model;
    this.wanted = [];
    this.setRows([]);
    if (isHosted(model)) return;
    const { data } = await get(`/v1/loras?model=${encodeURIComponent(model.id)}`).catch(() => ({ data: [] }));
    if (this.model !== model) return;
    this.setRows(data.filter((lora) => !lora.error).map((lora) => row({ name: lora.name })));
    this.fill({ lora: this.wanted }); // which may have been filled in meanwhile
  }

  setRows(rows) {
    this.rows = rows;
    this.list.replaceChildren(...rows.map((one) => one.node));
    this.node.hidden = rows.length === 0;
  }

  read() {
    const chosen = this.rows.filter((one) => one.box.checked);
    return chosen.length ? { lora: chosen.map((one) => ({ ...one.adapter, scale: Number(one.scale.value) })) } : {};
  }

  /** Choose these; one that is not in the list, as of one expert alone, becomes a row of its own. */
  fill({ lora = [] }) {
    this.wanted = [lora].flat();
    const key = ({ scale, ...adapter }) => JSON.stringify(Object.entries(adapter).filter(([, value]) => value));
    const given = new Map(this.wanted.map((one) => [key(one), one]));
    const known = new Set(this.rows.map((one) => key(one.adapter)));
    const more = this.wanted.filter((one) => !known.has(key(one))).map(({ scale, ...adapter }) => row(adapter));
    this.setRows([...this.rows, ...more]);
    for (const one of this.rows) one.set(given.get(key(one.adapter)));
  }
}

let count = 0;

function row(adapter) {
  const id = `adapter-${(count += 1)}`;
  const label = [adapter.name ?? adapter.path, adapter.high && `${adapter.high} (high noise)`, adapter.low && `${adapter.low} (low noise)`];
  const box = element("input", { type: "checkbox", id, onchange: () => update() });
  const scale = element("input", {
    type: "range", min: -2, max: 2, step: 0.05, value: 1, "aria-label": `Strength of ${label.filter(Boolean).join(", ")}`,
    oninput: () => update(),
  });
  const note = element("output");
  const node = element("div", { class: "adapter" }, box, element("label", { for: id }, label.filter(Boolean).join(", ")), note, scale);
  const update = () => {
    scale.hidden = !box.checked;
    note.textContent = box.checked ? Number(scale.value).toFixed(2) : "";
  };
  const set = (given) => {
    box.checked = Boolean(given);
    scale.value = given?.scale ?? 1;
    update();
  };
  update();
  return { adapter, box, scale, node, set };
}
