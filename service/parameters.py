"""Path and header values that several routes take, checked before they come near a path of ours."""

import re
from typing import Annotated

from fastapi import Depends, Header, Path

from newtond.contract.errors import NotFound

JOB = re.compile(r"job_[0-9A-HJKMNP-TV-Z]{26}")
BATCH = re.compile(r"batch_[0-9A-HJKMNP-TV-Z]{26}")
ARRAY = re.compile(r"sha256:[0-9a-f]{64}")


def _job_id(
    job_id: Annotated[str, Path(description="the job", examples=["job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"])],
) -> str:
    if not JOB.fullmatch(job_id):
        raise NotFound("There is no such job.")
    return job_id


def _batch_id(
    batch_id: Annotated[str, Path(description="the batch", examples=["batch_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG"])],
) -> str:
    if not BATCH.fullmatch(batch_id):
        raise NotFound("There is no such batch.")
    return batch_id


def _array_id(
    array_id: Annotated[str, Path(description="the array's digest", examples=["sha256:" + "0" * 64])],
) -> str:
    if not ARRAY.fullmatch(array_id):
        raise NotFound("There is no such array.")
    return array_id


JobIdPath = Annotated[str, Depends(_job_id)]
BatchIdPath = Annotated[str, Depends(_batch_id)]
ArrayIdPath = Annotated[str, Depends(_array_id)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="the same key with the same spec and arrays is the same job, however often it is sent",
    ),
]
