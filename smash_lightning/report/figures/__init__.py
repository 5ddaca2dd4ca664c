"""How do results look? One Altair chart per figure over a pandas frame, for files, pages and W&B.

Every function takes a frame with the fixed column names that it documents and returns a finished chart; `save` writes
it as .png, .svg, .html or .json (the specification).
"""

from smash_lightning.report.figures.forest import forest as forest
from smash_lightning.report.figures.lines import lines as lines
from smash_lightning.report.figures.lines import settling as settling
from smash_lightning.report.figures.pareto import pareto as pareto
from smash_lightning.report.figures.scatter import scatter as scatter
from smash_lightning.report.figures.style import Chart as Chart
from smash_lightning.report.figures.style import interval_text as interval_text
from smash_lightning.report.figures.style import save as save
from smash_lightning.report.figures.style import specification as specification
from smash_lightning.report.figures.style import svg as svg
from smash_lightning.report.figures.sweep import sweep as sweep
