// What has been made, newest first: as far back as a person scrolls.

import { ApiError } from "./api.js";
import { byId, element, icon } from "./dom.js";
import { listJobs } from "./jobs.js";
import { complain } from "./notices.js";
import { tile } from "./tile.js";

const PAGE = 24;
const AHEAD = 600; // pixels below the window that are loaded, too

export class Gallery {
  /** `filters` says what to ask for; `open` is called with an entry, `{ job, file }`; `chosen` with those selected. */
  constructor(filters, { open, chosen }) {
    this.filters = filters;
    this.open = open;
    this.chosen = chosen;
    this.selected = [];
    this.reset();
    new IntersectionObserver(() => this.fillSight(), { rootMargin: `${AHEAD}px` }).observe(byId("more"));
  }

  /** Whether the end of the list is in sight, or nearly. */
  get isNear() {
    return byId("more").getBoundingClientRect().top < innerHeight + AHEAD;
  }

  reset() {
    this.entries = [];
    this.after = null;
    this.hasMore = true;
    this.round = {}; // answers to what was asked before are no longer wanted
    this.loading = null;
    this.unselect();
    byId("tiles").replaceChildren();
    byId("empty").hidden = true;
    return this.fillSight();
  }

  /** Load pages as long as the end of the list is near. */
  fillSight() {
    this.loading ??= this.load(this.round).finally(() => (this.loading = null));
    return this.loading;
  }

  async load(round) {
    try {
      while (this.isNear && this.hasMore && round === this.round) {
        const page = await listJobs({ ...this.filters.query(), status: "completed", limit: PAGE, after: this.after });
        if (round !== this.round) return;
        this.hasMore = page.has_more;
        this.after = page.last_id;
        for (const job of page.data) this.add(job, "append");
        this.showEmpty();
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (round === this.round && error.status !== 401) complain(error);
      this.hasMore = false;
    }
  }

  /** Show the files of a job, at the end or (`prepend`) as the newest. */
  add(job, how = "prepend") {
    if (this.entries.some((entry) => entry.job.id === job.id) || !this.filters.fits(job)) return;
    const added = job.files.map((file) => ({ job, file }));
    const nodes = added.map((entry) => tile(entry, { open: this.open, select: (one, on) => this.select(one, on) }));
    this.entries[how === "prepend" ? "unshift" : "push"](...added);
    byId("tiles")[how](...nodes);
    this.showEmpty();
  }

  /** Look for jobs that were completed meanwhile. */
  async refresh() {
    const round = this.round;
    const { data } = await listJobs({ ...this.filters.query(), status: "completed", limit: PAGE });
    if (round === this.round) for (const job of data.reverse()) if (this.isInSight(job)) this.add(job);
  }

  /** Whether it belongs among those that are loaded. */
  isInSight(job) {
    return !this.hasMore || job.created_at >= (this.entries.at(-1)?.job.created_at ?? 0);
  }

  remove(job) {
    for (const entry of this.entries.filter((one) => one.job.id === job.id)) {
      this.select(entry, false);
      entry.node.remove();
    }
    this.entries = this.entries.filter((entry) => entry.job.id !== job.id);
    if (this.after === job.id) this.after = this.entries.at(-1)?.job.id ?? null; // the next page begins after one that exists
    this.showEmpty();
  }

  select(entry, isOn) {
    this.selected = this.selected.filter((one) => one !== entry);
    if (isOn) this.selected.push(entry);
    while (this.selected.length > 2) this.selected.shift().box.checked = false;
    this.chosen(this.selected);
  }

  unselect() {
    for (const entry of this.selected) entry.box.checked = false;
    this.selected = [];
    this.chosen([]);
  }

  showEmpty() {
    const empty = byId("empty");
    empty.hidden = this.entries.length > 0 || this.hasMore;
    const [title, text] = this.filters.areSet()
      ? ["Nothing matches", "No prompt, model or kind like that. Loosen the filter to see more."]
      : ["Nothing made yet", "Write a prompt, or take one of the examples beside it: what you make appears here."];
    empty.replaceChildren(icon("film"), element("h3", {}, title), element("p", {}, text));
  }
}
