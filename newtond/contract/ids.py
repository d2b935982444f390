"""The ids that requests name resources by."""

from typing import Annotated

from pydantic import Field

ULID = "[0-9A-HJKMNP-TV-Z]{26}"
JobId = Annotated[str, Field(pattern=f"^job_{ULID}$", examples=["job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"])]
BatchId = Annotated[str, Field(pattern=f"^batch_{ULID}$", examples=["batch_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"])]
