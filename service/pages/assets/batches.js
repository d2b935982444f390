// The list of batches, newest first, looked at again every moment.

import { h, show } from "./dom.js";
import { ago, count, short, words } from "./format.js";
import { list } from "./listing.js";
import { begin } from "./shell.js";
import { counted, tags } from "./status.js";

function row(batch) {
  const link = h("a", { href: `/pages/batches/${batch.id}` }, words(batch.kind), h("span", { class: "unseen" }, ` ${batch.id}`));
  return h(
    "tr",
    { "data-id": batch.id },
    h("th", { scope: "row" }, link, h("br"), h("code", { class: "hint job-id", "aria-hidden": "true" }, short(batch.id))),
    h("td", {}, `${count(batch.total)} ${batch.varies}`),
    h("td", {}, h("div", { class: "tags" }, counted(batch.counts))),
    h("td", {}, h("div", { class: "tags" }, tags(batch))),
    h("td", { class: "nowrap", title: batch.created_at }, ago(batch.created_at)),
  );
}

function showNone(node, filtered) {
  show(node, filtered ? "No batch here." : ["No batch yet. ", h("code", {}, "POST /batches"), " solves for many targets, or along a path of ridges."]);
}

begin(() => list({ path: "/batches", name: "batches", filters: ["finished", "tag"], row, busy: (batch) => !batch.finished, showNone }));
