"""The channels of the encoding c, as a table of named fields (paper, section 3.3 and figure 3)."""

from __future__ import annotations

from dataclasses import dataclass

from smash_lightning.architecture import Limits


@dataclass(frozen=True, slots=True)
class Field:
    """Consecutive channels of c for one property of an op, one channel for each of `options`.

    Args:
        name: of the property.
        first: channel.
        options: values of a one-hot field, or positions of a pattern.
    """

    name: str
    first: int
    options: tuple[int, ...]

    @property
    def channels(self) -> slice:
        """The field's channels."""
        return slice(self.first, self.first + len(self.options))

    def channel(self, value: int) -> int:
        """The channel of `value`."""
        return self.first + self.options.index(value)


@dataclass(frozen=True, slots=True)
class Layout:
    """All fields of c, in order. It depends on the limits alone, so annealing never moves a channel."""

    fields: dict[str, Field]

    def __getitem__(self, name: str) -> Field:
        return self.fields[name]

    @property
    def channels(self) -> int:
        """Channels of c, without noise."""
        return sum(len(field.options) for field in self.fields.values())


def layout(limits: Limits) -> Layout:
    """The fields of architectures within `limits`.

    In addition to the paper's, `start` marks the first slice of an op, and `width` is the width of a bank: without
    these, different architectures would have the same c.
    """
    one = (1,)
    options: dict[str, tuple[int, ...]] = {
        "start": one,
        "read": tuple(range(limits.max_banks)),
        "write": tuple(range(limits.max_banks)),
        "block": tuple(range(len(limits.inputs))),
        "width": limits.widths,
        "units": tuple(range(1, limits.max_units + 1)),
    }
    for position in range(limits.positions):
        options[f"conv{position}.active"] = one
        for axis in range(limits.dimensions):
            options[f"conv{position}.kernel{axis}"] = limits.kernels
            options[f"conv{position}.dilation{axis}"] = limits.dilations
        options[f"conv{position}.groups"] = limits.groups
    fields, first = {}, 0
    for name, values in options.items():
        fields[name] = Field(name, first, values)
        first += len(values)
    return Layout(fields)
