"""Uploads in: one strict parser a format, run in a sandboxed child process, never in the service itself."""
