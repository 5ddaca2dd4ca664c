"""Scores against cost."""

from __future__ import annotations

from smash_lightning.report.front import front_figure
from smash_lightning.scoring import pareto_front


def test_each_cost_has_a_panel_with_its_points_and_its_front() -> None:
    score, params, macs = [0.5, 0.4, 0.3, 0.6], [10.0, 20.0, 30.0, 40.0], [9.0, 5.0, 8.0, 7.0]
    costs = {"parameters": params, "MACs": macs}
    fronts = {name: pareto_front(score, cost) for name, cost in costs.items()}
    assert fronts == {"parameters": [0, 1, 2], "MACs": [1, 2]}
    panels = front_figure(score, costs, fronts, label="loss").axes
    assert [axes.get_xlabel() for axes in panels] == ["parameters", "MACs"]
    for axes, (name, cost) in zip(panels, costs.items(), strict=True):
        scatter, steps, best = axes.lines
        assert list(scatter.get_xdata()) == cost
        assert list(scatter.get_ydata()) == score
        for line in (steps, best):
            assert list(line.get_xdata()) == [cost[index] for index in fronts[name]]
            assert list(line.get_ydata()) == [score[index] for index in fronts[name]]
