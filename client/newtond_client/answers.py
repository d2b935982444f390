"""What an answer says: a JSON document, an array, or a refusal."""

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtond_client.errors import UnexpectedAnswer, api_error
from newtond_client.models import ProblemDetail
from newtond_client.transport import Reply


def checked(reply: Reply) -> Reply:
    """Return an answer that is one; raises the exception that its problem document is."""
    if reply.status >= 400:
        raise api_error(_problem(reply))
    return reply


def _problem(reply: Reply) -> ProblemDetail:
    """Return the problem document; what a proxy said in its place is told by its status."""
    if "json" in reply.headers.get("content-type", ""):
        document = document_of(reply)
        if isinstance(document, dict) and {"type", "title", "status", "detail"} <= document.keys():
            return ProblemDetail(**document)  # type: ignore[typeddict-item]
    text = reply.content.decode(errors="replace").strip()[:200]
    return {
        "type": "about:blank",
        "title": "No problem document",
        "status": reply.status,
        "detail": f"The server answered {reply.status}: {text}",
        "request_id": reply.headers.get("x-request-id"),
    }


def document_of(reply: Reply) -> Any:
    """Return the JSON of an answer; raises UnexpectedAnswer."""
    try:
        return json.loads(reply.content)
    except ValueError as error:
        raise UnexpectedAnswer("The answer is not JSON: is this the URL of a newtond?") from error


def array_of(reply: Reply) -> NDArray[np.float64]:
    """Return the .npy of an answer; raises UnexpectedAnswer."""
    try:
        return np.asarray(np.load(io.BytesIO(reply.content), allow_pickle=False), dtype=float)
    except ValueError as error:
        raise UnexpectedAnswer("The answer is not a .npy file.") from error
