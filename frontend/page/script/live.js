// The list of cards: jobs that this page has made, and those that it finds on the server.

import { byId } from "./dom.js";
import { JobCard } from "./job_card.js";
import { listJobs } from "./jobs.js";

const MOST_FOUND = 50;

export class Live {
  /** `completed` gets each job that is done; `retry` one that has failed and is to be made again. */
  constructor({ completed, retry }) {
    this.cards = new Map();
    this.gone = new Set(); // cancelled here, and perhaps still in an answer that is on its way
    this.completed = completed;
    this.retry = retry;
  }

  add(job) {
    if (this.cards.has(job.id) || this.gone.has(job.id)) return;
    const card = new JobCard(job, { ended: (ended, last) => this.end(ended, last), retry: this.retry });
    this.cards.set(job.id, card);
    byId("cards").prepend(card.node);
    this.count();
    card.follow();
  }

  end(card, job) {
    this.cards.delete(card.job.id);
    this.gone.add(card.job.id);
    const hadFocus = card.node.contains(document.activeElement);
    card.node.remove();
    this.count();
    if (hadFocus) (byId("cards").querySelector("button") ?? byId("prompt")).focus();
    if (job?.status === "completed") this.completed(job);
  }

  count() {
    byId("live").hidden = this.cards.size === 0;
  }

  /** What runs or waits on the server, whoever made it. */
  async find() {
    for (const status of ["in_progress", "queued"]) {
      const { data } = await listJobs({ status, limit: MOST_FOUND });
      for (const job of data.reverse()) this.add(job);
    }
  }
}
