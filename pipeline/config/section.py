"""What every section of the configuration has in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

# A file or folder of this machine; in some keys also an address in S3.
Place = Annotated[str, Field(min_length=1, max_length=900, pattern=r"^[^\x00-\x1f]+$(?!\n)")]


class Section(BaseModel):
    """Frozen, no unknown keys, no silent conversions ("3" is not 3)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        regex_engine="python-re",
        hide_input_in_errors=True,
    )


def text(description: str, pattern: str, default: str | None = None) -> Any:
    """A text field; without a default it may be null, which stands for a derived value."""
    return Field(default=default, description=description, pattern=pattern)
