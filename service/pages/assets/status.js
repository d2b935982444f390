// A job's state as it is shown in every list and headline.

import { h } from "./dom.js";
import { elapsed, seconds, words } from "./format.js";

export const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/** Return the badge of a job's status. */
export function badge(job) {
  const stopping = job.cancel_requested && !ENDED.has(job.status);
  return h("span", { class: `badge ${job.status}` }, stopping ? "stopping" : job.status);
}

/** Return how a job stands, in a few words. */
export function standing(job) {
  if (job.status === "queued") return job.queue_position === null ? "waiting" : `${job.queue_position} ahead in the queue`;
  if (job.status === "running") return job.attempt > 1 ? `attempt ${job.attempt}` : "";
  if (job.error) return job.error.title;
  return job.termination ? words(job.termination) : "";
}

/** Return badges of how many jobs have which status. */
export const counted = (counts) => Object.entries(counts).map(([status, number]) => h("span", { class: `badge ${status}` }, `${number} ${status}`));

/** Return how long a job took, or has been running. */
export const took = (job) => (job.started_at ? seconds(elapsed(job.started_at, job.finished_at)) : "–");

/** Return a job's tags. */
export const tags = (job) => job.tags.map((tag) => h("span", { class: "tag" }, tag));
