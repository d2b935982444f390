"""The routes, one file a noun; each is a thin skin over the backend."""
