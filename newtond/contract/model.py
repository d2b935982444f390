"""The base of every resource: unknown fields are errors, values are immutable, NaN is not a number."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """An immutable record that refuses fields it does not know and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="null")
