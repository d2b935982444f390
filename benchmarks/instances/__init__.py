"""One file an instance; each has ``make(seed, scale)``; ``scale`` multiplies the number of rows."""
