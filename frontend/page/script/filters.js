// What of the gallery is shown: by kind, model and words of the prompt.

import { byId, element } from "./dom.js";

const TYPING_MILLISECONDS = 250;
const KINDS = [["", "All"], ["video", "Videos"], ["image", "Images"]];

export class Filters {
  /** `changed` is called when something else is to be shown. */
  constructor() {
    this.changed = () => {};
    let timer = 0;
    this.search = element("input", {
      type: "search", placeholder: "Search prompts", "aria-label": "Search prompts",
      oninput: () => {
        clearTimeout(timer);
        timer = setTimeout(() => this.changed(), TYPING_MILLISECONDS);
      },
    });
    this.model = element("select", { "aria-label": "Model", onchange: () => this.changed() }, element("option", { value: "" }, "All models"));
    this.kinds = element(
      "fieldset", { class: "segments" }, element("legend", { class: "visually-hidden" }, "Kind"),
      ...KINDS.map(([value, label]) => element("label", { class: "segment" },
        element("input", { type: "radio", name: "kind", value, checked: value === "", onchange: () => this.changed() }),
        element("span", {}, label))),
    );
    byId("filters").append(this.search, this.model, this.kinds);
  }

  setModels(ids) {
    const before = this.model.value;
    const options = [...this.model.options].map((option) => option.value);
    for (const id of ids) if (!options.includes(id)) this.model.append(element("option", { value: id }, id));
    this.model.value = before;
  }

  get kind() {
    return this.kinds.querySelector(":checked").value;
  }

  query() {
    return { search: this.search.value.trim(), model: this.model.value, kind: this.kind };
  }

  areSet() {
    return Object.values(this.query()).some(Boolean);
  }

  fits(job) {
    const { search, model, kind } = this.query();
    return (
      job.prompt.toLowerCase().includes(search.toLowerCase()) && (!model || job.model === model) && (!kind || job.kind === kind)
    );
  }
}
