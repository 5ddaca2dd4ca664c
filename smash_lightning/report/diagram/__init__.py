"""What does a SMASH net look like? The memory-bank diagram of an architecture."""

from smash_lightning.report.diagram.drawing import architecture_svg as architecture_svg
