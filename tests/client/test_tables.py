"""Tables become designs, by their columns or by a formula, and new tables the same way."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from newtond_client import formula
from newtond_client.errors import InvalidInput
from newtond_client.tables import Encoding, check_names

TABLE = pd.DataFrame(
    {
        "age": [30, 41, 0, 27],
        "city": pd.Categorical(["b", "a", "b", "c"], categories=["c", "b", "a"]),
        "paid": [True, False, True, True],
        "plan": ["x", "y", "y", "x"],
        "spent": [1.5, 2.0, 4.0, 0.5],
    }
)


def dense(design: Any) -> np.ndarray[Any, Any]:
    return np.column_stack([design.dot(column) for column in np.eye(design.shape[1])])


def test_categories_are_one_hot_and_keep_their_order() -> None:
    encoding = Encoding.of(TABLE)
    assert encoding.names() == ["age", "city=c", "city=b", "city=a", "paid", "plan=x", "plan=y", "spent"]
    assert dense(encoding.design(TABLE)).tolist() == [
        [30, 0, 1, 0, 1, 1, 0, 1.5],
        [41, 0, 0, 1, 0, 0, 1, 2.0],
        [0, 0, 1, 0, 1, 0, 1, 4.0],
        [27, 1, 0, 0, 1, 1, 0, 0.5],
    ]
    assert encoding.design(TABLE).format == "csr"
    assert encoding.design(TABLE).parts["data"].all()


def test_numbers_alone_stay_dense() -> None:
    design = Encoding.of(TABLE[["age", "spent"]]).design(TABLE)
    assert design.format == "dense"
    assert dense(design).tolist() == TABLE[["age", "spent"]].to_numpy().tolist()


def test_new_rows_are_encoded_as_the_first_ones() -> None:
    encoding = Encoding.of(TABLE)
    new = pd.DataFrame({"spent": [1], "plan": ["y"], "paid": [0], "city": ["a"], "age": [3]})
    assert dense(encoding.design(new)).tolist() == [[3, 0, 0, 1, 0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"city": ["b", "a", "z", "c"]}, "Column city: row 2 is none of the 3 levels known"),
        ({"plan": ["x", None, "y", "x"]}, "Column plan: row 1 is missing"),
        ({"age": [1, 2, 3, np.nan]}, "Column age: row 3 is missing or not finite"),
        ({"spent": [1, 2, np.inf, 3]}, "Column spent: row 2 is missing or not finite"),
    ],
)
def test_what_cannot_be_encoded_is_named(change: dict[str, Any], why: str) -> None:
    encoding = Encoding.of(TABLE)
    with pytest.raises(InvalidInput, match=why):
        encoding.design(TABLE.assign(**change))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidInput, match="There is no column city; there are: age, paid"):
        Encoding.of(TABLE).design(TABLE.drop(columns="city"))


def test_names_must_differ() -> None:
    with pytest.raises(InvalidInput, match="Two columns of the design have the name a=b"):
        check_names(["a=b", "c", "a=b"])


@pytest.mark.parametrize(
    ("text", "names", "intercept"),
    [
        ("spent ~ age", ["age"], True),
        ("spent ~ age - 1", ["age"], False),
        ("spent ~ 0 + age", ["age"], False),
        ("spent ~ age + city", ["age", "city=b", "city=a"], True),
        ("spent ~ city + plan - 1", ["city=c", "city=b", "city=a", "plan=y"], False),
        ("spent ~ C(age)", ["age=27", "age=30", "age=41"], True),
        ("log(spent) ~ log1p(age) + paid", ["log1p(age)", "paid"], True),
        ("spent ~ . - plan - city", ["age", "paid"], True),
        ("`spent` ~ `age`", ["age"], True),
    ],
)
def test_formulas(text: str, names: list[str], intercept: bool) -> None:
    parsed = formula.parse(text)
    assert parsed.intercept is intercept
    assert parsed.encoding(TABLE).names() == names
    design = parsed.encoding(TABLE).design(parsed.prepared(TABLE))
    assert design.shape == (4, len(names))


def test_the_values_of_a_formula() -> None:
    parsed = formula.parse("log(spent) ~ log1p(age) + city")
    design = dense(parsed.encoding(TABLE).design(parsed.prepared(TABLE)))
    assert parsed.values(TABLE) == pytest.approx(np.log(TABLE["spent"]))
    assert design[:, 0] == pytest.approx(np.log1p(TABLE["age"]))
    assert design[:, 1].tolist() == [1, 0, 1, 0]
    assert design[:, 2].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("spent", 6, "`~` is due here"),
        ("spent ~", 8, "a column is due here"),
        ("spent ~ age * city", 13, "'*' has no meaning here"),
        ("spent ~ age city", 13, "`+` or `-` is due here"),
        ("spent ~ tan(age)", 9, "there is no function tan; there are C, log"),
        ("spent ~ log(age", 16, "`)` is due here"),
        ("spent ~ age + age", 15, "age comes twice"),
        ("spent ~ age - .", 15, "`-` takes away one column, not all"),
        ("spent ~ 2", 9, "'2' has no meaning here"),
        ("C(spent) ~ age", 1, "the target is a number"),
    ],
)
def test_a_fault_in_a_formula_has_a_place(text: str, column: int, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        formula.parse(text)
    assert f"at column {column}: {why}" in str(refused.value)
    assert str(refused.value).splitlines()[-1] == "  " + " " * (column - 1) + "^"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("spent ~ height", "There is no column height"),
        ("spent ~ 1", "chooses no column"),
        ("spent ~ log(age)", r"log\(age\): row 2 is outside of its range"),
    ],
)
def test_a_formula_that_does_not_fit_the_table(text: str, why: str) -> None:
    parsed = formula.parse(text)
    with pytest.raises(InvalidInput, match=why):
        parsed.encoding(TABLE).design(parsed.prepared(TABLE))
