"""From Python to a fit, over a real server: what goes in, what comes out, what is sent only once."""

import asyncio
import html
import math
import re
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import httpx
import newtond_client
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from newtond_client import AsyncClient, Client, errors

from tests.client.conftest import SLOW, count, data, slow_data
from tests.service.conftest import Service

A, B, X = data()
UPLOADS = ("POST", "/arrays")


def test_a_fit(client: Client) -> None:
    fit = client.solve("hyperbolic", A, B, function="exp", intercept=True, tags=["mine"], outputs=["fitted"])
    assert fit.converged
    assert fit.x == pytest.approx(X, abs=0.2)
    assert list(fit.coefficients) == ["(intercept)", *(f"x{k}" for k in range(6))]
    assert fit.predict(A) == pytest.approx(fit["fitted"], rel=1e-12)
    assert fit.loss == pytest.approx(0.5 * np.sum((fit.predict(A) - B) ** 2), rel=1e-12)
    assert fit.certificate["statements"]
    assert fit.trace["iteration"].tolist() == list(range(len(fit.trace["loss"])))
    assert fit.trace["loss"][-1] == pytest.approx(fit.loss, rel=1e-9)
    assert fit.job["tags"] == ["mine"]
    assert str(fit).startswith(f"hyperbolic {fit.id}: converged after ")


@pytest.mark.parametrize(
    "same",
    [
        scipy.sparse.csr_matrix(A),
        scipy.sparse.coo_array(A),
        A.tolist(),
        pd.DataFrame(A, columns=[f"x{k}" for k in range(6)]),
    ],
    ids=["csr", "coo", "lists", "table"],
)
def test_the_same_matrix_in_another_form_has_the_same_answer(client: Client, same: Any) -> None:
    first = client.solve("hyperbolic", A, B, function="exp", tolerance=1e-12)
    other = client.solve("hyperbolic", same, B, function="exp", tolerance=1e-12)
    assert other.x == pytest.approx(first.x, rel=1e-9)


def test_an_array_is_uploaded_once_by_its_digest(client: Client, working_service: Service) -> None:
    design, target, _ = data(seed=11)
    before = count(client.url, *UPLOADS)
    client.solve("hyperbolic", design, target, function="exp")
    assert count(client.url, *UPLOADS) == before + 2
    client.solve("hyperbolic", design, target, function="exp", ridge=0.1)
    with Client(client.url, progress=False) as another:
        another.solve("hyperbolic", np.asfortranarray(design), target, function="exp", ridge=0.2)
    assert count(client.url, *UPLOADS) == before + 2


def test_an_array_deleted_behind_the_clients_back_is_sent_again(client: Client) -> None:
    design, target, _ = data(seed=12)
    fit = client.solve("hyperbolic", design, target, function="exp")
    httpx.delete(f"{client.url}/arrays/{fit.job['inputs']['A']}").raise_for_status()
    again = client.solve("hyperbolic", design, target, function="exp", ridge=1.0)
    assert again.job["inputs"] == fit.job["inputs"]


def test_a_table_keeps_its_names(client: Client) -> None:
    generator = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "size": generator.normal(size=300),
            "shop": pd.Categorical(generator.choice(["north", "south"], size=300)),
        }
    )
    target = np.exp(0.5 * table["size"] + np.where(table["shop"] == "north", 0.3, -0.2))
    fit = client.solve("hyperbolic", table, target, function="exp")
    assert fit.coefficients == pytest.approx({"size": 0.5, "shop=north": 0.3, "shop=south": -0.2}, abs=1e-6)
    assert fit.result["column_names"] == ["size", "shop=north", "shop=south"]
    assert fit.predict(table.tail(3)) == pytest.approx(target.tail(3).to_numpy(), rel=1e-6)
    with pytest.raises(errors.InvalidInput, match="none of the 2 levels"):
        fit.predict(table.head(1).assign(shop="west"))
    with pytest.raises(errors.InvalidInput, match=r"has the shape \(300, 6\); the fit has 3 columns"):
        fit.predict(A[:300])
    assert "<td>shop=north</td>" in fit._repr_html_()


def test_what_a_notebook_shows(client: Client) -> None:
    table = pd.DataFrame({"a <b>": A[:, 0], "c": A[:, 1]})
    with pytest.warns(errors.NotConverged):
        fit = client.solve("hyperbolic", table, B, function="exp", intercept=True, max_iterations=1)
    shown = fit._repr_html_()
    rows = dict(re.findall("<tr><td>(.*?)</td><td>(.*?)</td></tr>", shown))
    assert rows == {html.escape(name): f"{value:.6g}" for name, value in fit.coefficients.items()}
    assert "a &lt;b&gt;" in rows
    assert f"<b>hyperbolic</b> <code>{fit.id}</code>: max_iterations after 1 iterations" in shown
    assert f"loss {fit.loss:.6g}, |gradient| {fit.result['gradient_norm']:.6g}" in shown
    assert re.findall("<li>([^<]*)</li>", shown) == [
        html.escape(said) for said in fit.certificate["statements"]
    ]
    assert re.findall("<li><b>(.*?)</b></li>", shown) == [html.escape(said) for said in fit.warnings]
    xml.etree.ElementTree.fromstring(shown)


def test_what_a_picture_shows(client: Client, tmp_path: Path) -> None:
    fit = client.solve("hyperbolic", A, B, function="exp")
    figure = fit.plot(tmp_path / "fit.png")
    loss, gradient = figure.axes
    steps, above = loss.lines[0].get_data()
    assert steps.tolist() == fit.trace["iteration"].tolist()
    expected = fit.trace["loss"] - fit.trace["loss"].min()
    assert np.nan_to_num(above).tolist() == expected.tolist()
    assert gradient.lines[0].get_ydata().tolist() == fit.trace["gradient_norm"].tolist()
    assert (loss.get_yscale(), gradient.get_yscale()) == ("log", "log")
    assert loss.get_ylabel() == f"loss − {fit.trace['loss'].min():.6g}"
    assert gradient.get_ylabel() == "‖gradient‖"
    assert loss.get_title() == f"hyperbolic: converged after {fit.result['iterations']} iterations"
    assert (tmp_path / "fit.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_shares_in_groups(client: Client) -> None:
    weeks = np.repeat(["mon", "tue", "wed", "thu"], 3)
    generator = np.random.default_rng(1)
    design = generator.normal(size=(12, 2))
    u = np.exp(design @ [1.0, -0.5])
    shares = u / pd.Series(u).groupby(weeks).transform("sum").to_numpy()
    fit = client.solve("softmax", design, shares, groups=weeks)
    assert fit.x == pytest.approx([1.0, -0.5], abs=1e-6)
    assert fit.predict(design, groups=weeks) == pytest.approx(shares, abs=1e-8)
    assert np.sum(fit.predict(design[:3])) == pytest.approx(1.0)


def test_several_targets_of_least_squares(client: Client) -> None:
    targets = np.column_stack([B, -B])
    fit = client.solve("least_squares", A, B=targets, intercept=True)
    assert fit.x.shape == (6, 2)
    design = np.column_stack([np.ones(len(A)), A])
    expected = design @ np.linalg.lstsq(design, targets)[0]
    assert fit.predict(A) == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_an_attention_layer_by_the_names_of_its_arrays(client: Client) -> None:
    example = client.problem("attention")["example"]
    fit = client.solve("attention", A1=np.array(example["A1"]), B=np.array(example["B"]), starts=2)
    assert set(fit.arrays) == {"X", "Y", "losses"}
    with pytest.raises(errors.InvalidInput, match="attention is not predicted here"):
        fit.predict(np.zeros((1, 2)))


def test_files(client: Client, tmp_path: Path) -> None:
    scipy.sparse.save_npz(tmp_path / "A.npz", scipy.sparse.csr_matrix(A))
    np.save(tmp_path / "b.npy", B)
    fit = client.solve("least_squares", tmp_path / "A.npz", tmp_path / "b.npy")
    (tmp_path / "A.mtx").write_text("%%MatrixMarket matrix array real general\n2 2\n1.0\n2.0\n3.0\n4.0\n")
    info = client.array(client.upload(tmp_path / "A.mtx"))
    assert info["shape"] == [2, 2]
    again = client.solve("least_squares", fit.job["inputs"]["A"], fit.job["inputs"]["b"])
    assert again.x.tolist() == fit.x.tolist()
    (tmp_path / "bad.mtx").write_text("%%MatrixMarket matrix array real general\n2 1\n1.0\n1,5\n")
    with pytest.raises(errors.InvalidArray) as refused:
        client.upload(tmp_path / "bad.mtx")
    assert refused.value.source["line"] == 4


def test_a_start_from_another_fit(client: Client) -> None:
    cold = client.solve("hyperbolic", A, B, function="exp", intercept=True, ridge=1.0)
    warm = client.solve("hyperbolic", A, B, function="exp", intercept=True, ridge=1.01, warm_start=cold)
    assert warm.trace["gradient_norm"][0] < cold.trace["gradient_norm"][0] / 10


def test_a_plan_is_no_solve(client: Client) -> None:
    plan = client.plan("hyperbolic", A, B, function="exp", hessian="exact")
    assert plan["hessian"] == "exact"
    assert plan["why"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"functon": "exp"}, errors.InvalidInput, "do you mean 'function'"),
        ({"function": "tan"}, errors.InvalidSpec, "pointer: /problem/function"),
        ({"function": "exp", "ridge": -1}, errors.InvalidSpec, "pointer: /regulariser/ridge"),
        ({"function": "exp", "row_weights": B[:-1]}, errors.InvalidSpec, "pointer: /row_weights"),
        ({"function": "exp", "tolerance": "small"}, errors.InvalidSpec, "pointer: /solver/tolerance"),
        ({"function": "exp", "warm_start": "a.npy"}, errors.InvalidInput, "a file is given as pathlib.Path"),
    ],
)
def test_refusals_say_where(
    client: Client, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        client.solve("hyperbolic", A, B, **options)


def test_unknown_things(client: Client) -> None:
    with pytest.raises(errors.InvalidInput, match="do you mean 'hyperbolic'"):
        client.solve("hyperbollic", A, B)
    with pytest.raises(errors.NotFound):
        client.job("job_01JD8Z3Q4V5W6X7Y8Z9ABCDEFG")
    with pytest.raises(errors.NotFound):
        client.array("sha256:" + "0" * 64)
    with pytest.raises(errors.NotFound):
        client.problem("linear")


def test_a_job_that_fails_raises_its_error_and_its_id(client: Client) -> None:
    with pytest.raises(errors.NonFinite) as failed:
        client.solve("hyperbolic", A * 1e4, B, function="exp", warm_start=np.full(6, 1e3))
    assert failed.value.job_id
    assert client.job(failed.value.job_id).state["status"] == "failed"


def test_a_limit_is_an_answer_and_a_warning(client: Client) -> None:
    with pytest.warns(newtond_client.NotConverged, match="job_"):
        fit = client.solve("hyperbolic", A, B, function="exp", max_iterations=1)
    assert not fit.converged
    assert fit.result["termination"] == "max_iterations"


def test_a_handle(client: Client) -> None:
    design, target, _ = slow_data()
    job = client.submit("hyperbolic", design, target, **SLOW)
    with pytest.raises(errors.Conflict):
        job.result()
    records = job.trace()
    assert [next(records)["iteration"] for _ in range(4)] == [0, 1, 2, 3]
    records.close()  # type: ignore[attr-defined]
    assert job.id in [each["id"] for each in client.jobs()]
    job.cancel()
    with pytest.warns(newtond_client.NotConverged):
        fit = job.wait()
    assert fit.job["status"] == "cancelled"
    assert np.isfinite(fit.x).all()
    assert [record["iteration"] for record in client.job(job.id).trace()] == fit.trace["iteration"].tolist()
    job.delete()
    with pytest.raises(errors.NotFound):
        job.refresh()


def test_jobs_by_tag_over_pages(client: Client) -> None:
    for _ in range(21):
        client.submit("least_squares", A, B, tags=["many"])
    found = list(client.jobs(tag="many"))
    assert len({job["id"] for job in found}) == 21
    assert math.isfinite(client.job(found[0]["id"]).wait().loss or math.nan)


def test_the_same_calls_awaited(working_service: Service) -> None:
    async def both() -> list[newtond_client.Fit]:
        async with AsyncClient(working_service.url, progress=False) as client:
            solves = [client.solve("hyperbolic", A, B, function="exp", ridge=ridge) for ridge in (0.1, 0.2)]
            fits = await asyncio.gather(*solves)
            job = await client.job(fits[0].id)
            assert [record["iteration"] async for record in job.trace()] == list(fits[0].trace["iteration"])
            assert [each["id"] async for each in client.jobs()][:2]
            return fits

    fits = asyncio.run(both())
    with Client(working_service.url, progress=False) as client:
        same = client.solve("hyperbolic", A, B, function="exp", ridge=0.2)
    assert fits[1].x.tolist() == same.x.tolist()
