"""What the service adds to a solve: overhead, crowds, uploads."""
