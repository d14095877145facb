"""The graph of a soak: latency, throughput and memory over time, as SVG, and as PNG by way of Chromium.

Chromium looks at the mails and pages of this project already; a plotting library would be a dependency for one picture.
"""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import sync_playwright

from functions.topology import SUBSCRIBERS
from local.chromium import executable
from local.soak.report import percentile
from local.soak.run import Result, Sample

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 1000, 170, 70, 60, 62
_BLUE, _RED, _GREEN, _GREY = "#2563eb", "#dc2626", "#16a34a", "#6b7280"

Line = tuple[str, str, Sequence[tuple[float, float]]]


def svg(result: Result) -> str:
    """Three panels over the same seconds."""
    end = max(result.seconds, 1.0)
    step = max(1.0, end / 120)
    by_time: dict[int, list[float]] = {}
    for answer in result.answers:
        if answer.is_accepted:
            by_time.setdefault(int((answer.at + answer.seconds) / step), []).append(answer.seconds * 1000)
    times = sorted(by_time)
    handled = [
        (later.at, (later.handled - earlier.handled) / len(SUBSCRIBERS) / (later.at - earlier.at))
        for earlier, later in pairwise(_thinned(result.samples, step))
    ]
    panels: tuple[tuple[str, Sequence[Line]], ...] = (
        (
            "webhook, ms",
            [
                ("p99", _RED, [((each + 0.5) * step, percentile(by_time[each], 0.99)) for each in times]),
                ("p50", _BLUE, [((each + 0.5) * step, percentile(by_time[each], 0.5)) for each in times]),
            ],
        ),
        (
            "events/s",
            [
                ("received", _BLUE, [((each + 0.5) * step, len(by_time[each]) / step) for each in times]),
                ("through every function", _GREEN, handled),
            ],
        ),
        ("memory, MiB", [("functions", _GREY, [(each.at, each.memory_mib) for each in result.samples])]),
    )
    height = _TOP + len(panels) * (_HEIGHT + _GAP)
    title = f"{result.deliveries:,} deliveries of {result.events:,} events in {result.seconds:.0f} s"
    body = "".join(_panel(name, lines, index, end) for index, (name, lines) in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 30}" height="{height}" '
        f'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{_LEFT}" y="28" font-size="18" font-weight="bold">{escape(title)}</text>{body}</svg>'
    )


def _thinned(samples: Sequence[Sample], step: float) -> Iterator[Sample]:
    """Samples at least so many seconds apart."""
    last = -step
    for sample in samples:
        if sample.at - last >= step:
            last = sample.at
            yield sample


def _panel(name: str, lines: Sequence[Line], index: int, end: float) -> str:
    top = _TOP + index * (_HEIGHT + _GAP)
    most = max((value for _, _, points in lines for _, value in points), default=0) * 1.1 or 1.0
    drawn = [f'<text x="{_LEFT}" y="{top - 6}" font-weight="bold">{escape(name)}</text>']
    for part in range(5):
        y = top + _HEIGHT * (1 - part / 4)
        drawn.append(f'<path d="M{_LEFT} {y:.1f}h{_WIDTH}" stroke="#e5e7eb"/>')
        drawn.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{most * part / 4:.0f}</text>')
        drawn.append(
            f'<text x="{_LEFT + _WIDTH * part / 4}" y="{top + _HEIGHT + 18}" text-anchor="middle">'
            f"{end * part / 4:.0f} s</text>"
        )
    for number, (label, color, points) in enumerate(lines):
        path = " ".join(
            f"{_LEFT + _WIDTH * min(at / end, 1):.1f},{top + _HEIGHT * (1 - value / most):.1f}" for at, value in points
        )
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        drawn.append(f'<text x="{_LEFT + 160 + number * 160}" y="{top - 6}" fill="{color}">{escape(label)}</text>')
    return "".join(drawn)


def write(result: Result, png: Path) -> None:
    """Draw it. Raises NotStarted where there is no Chromium."""
    browser_path = executable()
    png.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=browser_path) as browser:
        page = browser.new_page(device_scale_factor=2)
        page.set_content(f'<body style="margin:0">{svg(result)}</body>')
        page.locator("svg").screenshot(path=png)
