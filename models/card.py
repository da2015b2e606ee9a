"""The model card: what a version is, on what data, how good, and how well its odds hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from engine.values import EpochMs
from models.registry import ModelMetadata

SIZE, MARGIN = 320, 44  # px of the plot's square and of the room for its labels


def card(metadata: ModelMetadata, importance: Sequence[tuple[str, float]], source: str) -> str:
    """The card as Markdown; `source` says in words where the rows come from."""
    figures = metadata.metrics
    split = metadata.origin["split"]
    assert isinstance(split, dict)
    lines = [
        f"# Model card: {metadata.model}",
        "",
        (
            f"Trained {_day(metadata.created)} on {source}: {figures['rows']:,.0f} rows, "
            f"{figures['share_true']:.1%} of them true."
        ),
        "",
        "| part | from | to | rows |",
        "| --- | --- | --- | ---: |",
        *(f"| {name} | {_day(a)} | {_day(b)} | {n:,} |" for name, (a, b, n) in split.items()),
        "",
        (
            "Split by time: every row of a part is earlier than every row of the next. Calibrated on the second part by a "
            "sigmoid; the figures are of the third, which neither training nor calibration saw."
        ),
        "",
        "| on the hold-out | |",
        "| --- | ---: |",
        f"| ROC AUC | {figures['roc_auc']:.4f} |",
        f"| average precision | {figures['average_precision']:.4f} |",
        f"| log loss | {figures['log_loss']:.4f} |",
        f"| log loss without calibration | {figures['log_loss_uncalibrated']:.4f} |",
        f"| log loss of the base rate alone | {figures['log_loss_of_base_rate']:.4f} |",
        f"| Brier score | {figures['brier']:.4f} |",
        f"| largest difference of ONNX from XGBoost | {figures['onnx_difference']:.1e} |",
        "",
        "![Calibration: how often it happened against how likely it was said to be](calibration.svg)",
        "",
        "| feature | share of the gain |",
        "| --- | ---: |",
        *(f"| `{name}` | {share:.1%} |" for name, share in importance),
        *(f"| `{name}` | not used |" for name in metadata.features if name not in dict(importance)),
        "",
    ]
    return "\n".join(lines)


def calibration_svg(curve: Sequence[tuple[float, float, int]]) -> str:
    """The calibration curve as a picture: groups of equal size, their mean answer against the share that came true."""
    top = max([0.05, *(max(answer, share) for answer, share, _ in curve)]) * 1.1
    top = min(1.0, top)

    def at(answer: float, share: float) -> tuple[float, float]:
        return MARGIN + SIZE * answer / top, 10 + SIZE * (1 - share / top)

    points = [at(answer, share) for answer, share, _ in curve]
    x0, y0 = at(0, 0)
    x1, y1 = at(top, top)
    ticks = [top * n / 4 for n in range(5)]
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE + MARGIN + 16} {SIZE + MARGIN + 10}" '
                f'width="{SIZE + MARGIN + 16}" font-family="system-ui, sans-serif" font-size="11" role="img" '
                'aria-label="Calibration curve">'
            ),
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<path d="M{x0:.1f} {y1:.1f}V{y0:.1f}H{x1:.1f}" fill="none" stroke="#8a8f98"/>',
            f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="#b9bec7" stroke-dasharray="4 4"/>',
            *(
                f'<text x="{at(t, 0)[0]:.1f}" y="{y0 + 16:.1f}" text-anchor="middle" fill="#444">{t:.2f}</text>'
                f'<text x="{x0 - 6:.1f}" y="{at(0, t)[1] + 4:.1f}" text-anchor="end" fill="#444">{t:.2f}</text>'
                for t in ticks
            ),
            '<path d="M'
            + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            + '" fill="none" stroke="#3358d4" stroke-width="2"/>',
            *(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#3358d4"><title>said {a:.3f}, came true {s:.3f}, '
                f"{n} rows</title></circle>"
                for (x, y), (a, s, n) in zip(points, curve, strict=True)
            ),
            f'<text x="{(x0 + x1) / 2:.1f}" y="{y0 + 32:.1f}" text-anchor="middle" fill="#222">how likely it was said to be</text>',
            (
                f'<text transform="translate(12 {(y0 + y1) / 2:.1f}) rotate(-90)" text-anchor="middle" fill="#222">'
                "how often it happened</text>"
            ),
            "</svg>",
            "",
        ]
    )


def _day(moment: EpochMs) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
