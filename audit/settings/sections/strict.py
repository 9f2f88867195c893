"""What all sections of a config share: no key but those declared, no type but those stated, one sentence a mistake."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, model_validator

Share = Annotated[float, Field(gt=0, lt=1)]


Positive = Annotated[int, Field(ge=1)]


Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _as_text(value: Any) -> Any:
    # A class coded 0 and 1, or true and false, is written without quotes; labels are read and compared as text.
    return str(value).lower() if isinstance(value, int) else value


Name = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | int | bool)]


Names = Annotated[tuple[Name, ...], Field(strict=False)]


def by_shape(rule: str, choose: Callable[[Any], str | None] | None = None) -> Discriminator:
    """Choose a branch of a union by the shape of what is written: a mistake gives one sentence, not one per branch.

    Tags start with "=", which no key does: they are taken out of the place that a mistake names.
    """

    def shape(value: Any) -> str | None:
        chosen = choose(value) if choose is not None else None
        if chosen is not None:
            return chosen
        if isinstance(value, Mapping | BaseModel):
            return "=mapping"
        if isinstance(value, str):
            return "=text"
        return "=number" if isinstance(value, int | float) and not isinstance(value, bool) else None

    return Discriminator(shape, custom_error_type="shape", custom_error_message=rule)


class Strict(BaseModel):
    """Frozen, no key but those declared, no type but those stated (no "3" for 3, no yes for true), no NaN."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        populate_by_name=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_silent(cls, values: Any) -> Any:
        return {} if values is None else values  # "base:" with nothing after it
