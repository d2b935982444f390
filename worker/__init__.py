"""The worker: RQ in, iterations out. A parent that only imports and watches, a forked child a job."""
