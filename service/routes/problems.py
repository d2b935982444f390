"""The catalogue: what can be solved, and how to ask for it."""

from fastapi import APIRouter

from service.catalogue import Catalogue, ProblemEntry, catalogue, entry
from service.responses import problems

router = APIRouter(tags=["problems"])


@router.get("/problems", summary="Every kind of problem, with its formula")
def list_problems() -> Catalogue:
    return catalogue()


@router.get(
    "/problems/{kind}",
    summary="One kind: formula, symbols, arrays, source, JSON Schema, and an example to send",
    responses=problems(404),
)
def get_problem(kind: str) -> ProblemEntry:
    return entry(kind)
