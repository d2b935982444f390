"""HTTP in, HTTP out; no mathematics: whatever needs it is a job for a worker."""
