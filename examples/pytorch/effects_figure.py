"""A figure of paired differences: a line for each setting, a panel for each comparison."""

import math

from svg_parts import BLUE, GREY, GRID, INK, document, dot, line, text

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM, GAP = 720, 206, 16, 66, 22, 44, 28


def figure(title, panels, rows):
    """The SVG. `panels` are the comparisons in words; a row is a setting's name and of each panel the mean and half the width of its
    interval."""
    panel = (WIDTH - LEFT - RIGHT - GAP * (len(panels) - 1)) / len(panels)
    reach = max(abs(mean) + half for _, found in rows for mean, half in found)
    step = tick(reach)
    bottom = TOP + ROW * len(rows)
    parts = [text(LEFT - 12, TOP + ROW * (index + 0.5) + 4, name, INK, anchor="end") for index, (name, _) in enumerate(rows)]
    for number, words in enumerate(panels):
        left = LEFT + number * (panel + GAP)

        def x(difference, left=left):
            return left + (difference / (1.05 * reach) + 1) / 2 * panel

        parts.append(text(left + panel / 2, 50, words, INK, weight=600, anchor="middle"))
        for count in range(-int(reach / step), int(reach / step) + 1):
            parts.append(line(x(count * step), TOP, x(count * step), bottom, GRID if count else GREY))
            parts.append(text(x(count * step), bottom + 15, signed(count * step, step), GREY, anchor="middle"))
        for index, (_, found) in enumerate(rows):
            (mean, half), y = found[number], TOP + ROW * (index + 0.5)
            parts.append(line(x(mean - half), y, x(mean + half), y, BLUE, width=1.5))
            parts.append(dot(x(mean), y, BLUE))
    what = "difference in test AUROC, mean and interval; to the right of 0 merging is better"
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, what, GREY, anchor="middle"))
    return document(WIDTH, bottom + BOTTOM, title, parts)


def tick(reach):
    """A round step, of which two to four reach from 0 to the end."""
    unit = 10 ** math.floor(math.log10(reach))
    return unit * (0.5 if reach < 2.5 * unit else 1 if reach < 5 * unit else 2)


def signed(value, step):
    """A tick's number, with as many places as its step has."""
    places = max(0, -math.floor(math.log10(step)))
    return f"{value:+.{places}f}".replace("-", "−") if value else "0"
