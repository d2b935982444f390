"""What the pages make of the API's words: formulas, the reference, pictures, and a trace of ten thousand lines."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from newtond.contract.problem import PROBLEMS
from newtond.contract.solve import SolveSpec
from newtond.contract.trace import TraceRecord
from newtond.store import DataDirectory
from newtond.store.attempts import Attempt
from tests.browser.conftest import Site
from tests.service.conftest import Service, example, submit

OpenPage = Callable[..., Page]
LINES = 10_000
PLAIN = set("₀₁₂₃₄₅₆₇₈₉ᵢⱼ⁰¹²³⁴ʲᵀᵝ½_^{}\u0304")
"""Signs that a formula is written with in the catalogue and that mathematics has its own way for."""


def test_the_catalogue_typesets_every_kind(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.url, "/pages/problems")
    page.locator(".kind").first.wait_for()
    assert set(page.locator(".kind").evaluate_all("kinds => kinds.map(kind => kind.id)")) == set(PROBLEMS)
    for kind, problem in PROBLEMS.items():
        formula = page.locator(f"#{kind} .formula")
        assert formula.get_attribute("aria-label") == problem.formula
        maths = formula.locator("math")
        assert maths.count() >= 2
        text = formula.evaluate(
            "node => [...node.querySelectorAll('math')].map(each => each.textContent).join(' ')"
        )
        assert not PLAIN & set(text), (kind, text)
        whole = formula.evaluate("node => node.textContent").replace("∑", "Σ")
        assert set(re.findall(r"[A-Za-zΑ-ω]", problem.formula)) - set(whole) <= set("overof"), kind
        assert maths.first.evaluate("node => node.getBoundingClientRect().width") > 20


def test_formulas_are_read_as_they_are_meant(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.url, "/pages/problems")
    read = """async (text) => {
      const { typeset } = await import('/assets/formula.js');
      return typeset(text).map((part) => part.outerHTML ?? part).join('');
    }"""
    for text, markup in {
        "aᵢ": "<msub><mi>a</mi><mi>i</mi></msub>",
        "(AᵀA)ʲ": "</mrow><mi>j</mi></msup>",
        "A₂ᵀ": "<msubsup><mi>A</mi><mn>2</mn><mi>T</mi></msubsup>",
        "z̄": "<mover><mi>z</mi><mo>¯</mo></mover>",
        "λ_X": "<msub><mi>λ</mi><mi>X</mi></msub>",
        "f⁻¹": "<msup><mi>f</mi><mrow><mo>−</mo><mn>1</mn></mrow></msup>",
        "½": "<mfrac><mn>1</mn><mn>2</mn></mfrac>",
        "min over x of x": "<munder><mi>min</mi><mrow><mi>x</mi></mrow></munder>",
        "Σ over groups of x": "<mtext>groups</mtext></munder>",
        "f = exp(Ax) divided by": "</math> divided by",
    }.items():
        assert markup in page.evaluate(read, text), text


@pytest.mark.parametrize("kind", PROBLEMS)
def test_the_form_says_what_the_example_says(site: Site, open_page: OpenPage, kind: str) -> None:
    page = open_page(site.url, f"/pages/solve?kind={kind}")
    page.locator(".input.array").first.wait_for()
    body = json.loads(str(page.locator("#body pre").text_content()))
    assert SolveSpec.model_validate(body) == SolveSpec.model_validate(example(kind))


def test_the_reference_has_every_operation_and_tries_one(
    site: Site, client: httpx.Client, open_page: OpenPage
) -> None:
    page = open_page(site.url, "/docs")
    page.locator(".endpoint").first.wait_for()
    document = client.get("/openapi.json").json()
    operations = [f"{method.upper()}{path}" for path, item in document["paths"].items() for method in item]
    shown = [text.replace("\n", "") for text in page.locator(".endpoint h3").all_inner_texts()]
    assert sorted(shown) == sorted(operations)
    limits = page.locator("#get-limits")
    limits.get_by_text("Try it").click()
    expect(limits.locator(".copyable pre")).to_have_text(f"curl -s '{site.url}/limits'")
    limits.get_by_role("button", name="Send GET").click()
    expect(limits.get_by_label("The answer")).to_contain_text('"upload_bytes": 2000000000')


def test_the_reference_solves_an_example(site: Site, client: httpx.Client, open_page: OpenPage) -> None:
    page = open_page(site.url, "/docs")
    solve = page.locator("#post-solve")
    solve.get_by_text("Try it").click()
    solve.get_by_label("Example").select_option("softmax")
    expect(solve.locator(".copyable pre")).to_contain_text("-d '{")
    solve.get_by_label("prefer (header)").fill("wait=50")
    solve.get_by_role("button", name="Send POST").click()
    expect(solve.get_by_label("The answer")).to_contain_text('"status": "succeeded"')


def test_a_matrix_has_a_picture(site: Site, open_page: OpenPage, jobs: list[str]) -> None:
    page = open_page(site.url, f"/pages/jobs/{jobs[1]}")
    picture = page.get_by_role("img", name="Picture of A, 12 × 2: 24 nonzeros")
    expect(picture).to_be_visible()
    page.wait_for_function(
        """() => {
          const { width, height } = document.querySelector('.spy');
          const pen = document.querySelector('.spy').getContext('2d');
          return pen.getImageData(0, 0, width, height).data.some((byte) => byte > 0);
        }"""
    )
    expect(page.get_by_role("img", name="Column norms from 36.19 to 256.4.")).to_be_visible()


def record(iteration: int) -> TraceRecord:
    """A line of a long, slow, wavy descent."""
    loss = 5.0 + 100.0 * 0.999**iteration * (1.1 + iteration % 7 / 10)
    return TraceRecord(
        iteration=iteration,
        loss=loss,
        gradient_norm=loss - 5.0,
        step_size=1.0 / (1 + iteration % 5),
        phases={"sweep": 0.001, "direction": 0.002},
        seconds=0.003 * iteration,
        attempt=1,
        peak_memory=10**8,
    )


@contextmanager
def attempt_at(service: Service, client: httpx.Client) -> Iterator[tuple[str, Attempt]]:
    """A job that nobody has taken, and the pen of its first attempt."""
    job_id = submit(client)["id"]
    jobs = DataDirectory(service.data_dir).jobs
    attempt = jobs.attempt(job_id, jobs.new_attempt(job_id))
    try:
        yield job_id, attempt
    finally:
        attempt.close()


WATCH_DRAWING = """
const { lineTo, scale } = CanvasRenderingContext2D.prototype;
const request = requestAnimationFrame;
Object.assign(window, { points: 0, draws: 0, spent: [] });
CanvasRenderingContext2D.prototype.lineTo = function (x, y) { points += 1; return lineTo.call(this, x, y); };
CanvasRenderingContext2D.prototype.scale = function (x, y) { draws += 1; return scale.call(this, x, y); };
window.requestAnimationFrame = (callback) => request((time) => {
  const [began, before] = [performance.now(), draws];
  callback(time);
  if (draws > before) spent.push(performance.now() - began);
});
"""
SCRUB = """async () => {
  const slider = document.querySelector('#chart input');
  Object.assign(window, { points: 0, draws: 0, spent: [] });
  for (let k = 0; k < 61; k += 1) {
    slider.value = String(k * 100);
    slider.dispatchEvent(new Event('input'));
    await new Promise(requestAnimationFrame);
  }
  return { draws, points, median: spent.sort((one, two) => one - two)[Math.floor(spent.length / 2)] };
}"""
FRAME = 1000 / 60


def test_ten_thousand_lines_are_smooth(
    quiet_site: Service, context: BrowserContext, open_page: OpenPage
) -> None:
    """Drawn within a bound of points whatever the length, in few draws, and followed as more come."""
    context.add_init_script(WATCH_DRAWING)
    with quiet_site.client() as client, attempt_at(quiet_site, client) as (job_id, attempt):
        for k in range(LINES):
            attempt.append(record(k))
        began = time.monotonic()
        page = open_page(quiet_site.url, f"/pages/jobs/{job_id}")
        expect(page.locator(".reading")).to_contain_text(f"Iteration {LINES - 1} ")
        assert time.monotonic() - began < 15
        width = page.locator("#chart canvas").evaluate("canvas => canvas.clientWidth")
        assert page.evaluate("draws") < 100
        found = page.evaluate(SCRUB)
        assert found["draws"] >= 50
        assert found["points"] / found["draws"] <= 3 * 4 * width + 100
        assert found["median"] < FRAME
        attempt.append(record(LINES))
        page.get_by_role("slider").blur()
        expect(page.locator("#tiles")).to_contain_text("10\u202f000")
        page.get_by_text("Trace as a table").click()
        expect(page.get_by_role("table", name="Trace, newest first").locator("tbody tr")).to_have_count(200)


@pytest.mark.parametrize("broken", [b"", b"event: iteration\nid: 0\nda"])
def test_a_torn_stream_yields_whole_events_only(site: Site, open_page: OpenPage, broken: bytes) -> None:
    page = open_page(site.url, "/")
    found = page.evaluate(
        """async (rest) => {
          const { parse } = await import('/assets/stream.js');
          const first = ['event: iteration\\nid: 7\\ndata: {"é"', ': 1}\\n', '\\n: keep-alive\\n\\n'];
          const body = new Blob([...first, 'event: end\\ndata: {}\\n\\n', rest]).stream();
          const events = [];
          for await (const event of parse(body)) events.push(event);
          return events;
        }""",
        broken.decode(),
    )
    assert found == [{"event": "iteration", "id": "7", "data": '{"é": 1}'}, {"event": "end", "data": "{}"}]


def test_pages_go_on_when_the_service_comes_back(mortal_service: Service, open_page: OpenPage) -> None:
    broken = "ERR_"  # Chromium's names for a connection refused, reset or cut short
    with mortal_service.client() as client, attempt_at(mortal_service, client) as (job_id, attempt):
        attempt.append(record(0))
        job = open_page(mortal_service.url, f"/pages/jobs/{job_id}", expected=broken)
        jobs = open_page(mortal_service.url, "/", expected=broken)
        expect(job.locator(".reading")).to_contain_text("Iteration 0 ")
        expect(jobs.locator("#live")).to_have_text("live")
        mortal_service.stop()
        expect(jobs.locator("#live")).to_have_text("no answer", timeout=20_000)
        mortal_service.start()
        attempt.append(record(1))
        expect(job.locator(".reading")).to_contain_text("Iteration 1 ", timeout=20_000)
        expect(jobs.locator("#live")).to_have_text("live", timeout=20_000)
        expect(jobs.locator("#problem")).to_be_empty()
