"""The vocabulary that the service, the store, the worker and the engine share; imports pydantic and nothing of ours."""
