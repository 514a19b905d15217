"""A figure of one network: how similar the kernels of each layer are, over depth and by kind, beside chance."""

from svg_parts import BLUE, GREEN, GREY, GRID, INK, ORANGE, PURPLE, VERMILION, document, dot, line, text

KINDS = {"spatial": BLUE, "1×1 narrowing": ORANGE, "1×1 widening": VERMILION, "depthwise": GREEN, "linear": PURPLE}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 306, 46, 14, 70, 40


def kind(row):
    """The kind of a layer. A 1×1 convolution with more outputs than inputs is another thing than one with fewer: its kernels are more and
    shorter, so that chance alone makes them more alike.
    """
    if row["kind"] == "pointwise":
        outputs, inputs = map(int, row["shape"].split("x")[:2])
        return "1×1 widening" if outputs > inputs else "1×1 narrowing"
    return "spatial" if row["kind"] == "conv" else row["kind"]


def figure(title, rows, skip):
    """The SVG. `rows` are those of layers.csv in the order of depth; the first `skip` convolutions are shaded."""
    step = (WIDTH - LEFT - RIGHT) / len(rows)

    def x(index):
        return LEFT + (index + 0.5) * step

    def y(similarity):
        return TOP + (1 - max(similarity, 0)) * (HEIGHT - TOP - BOTTOM)

    parts = []
    shallow = sum(row["takes_part"] != "yes" for row in rows) * step
    if shallow:
        parts.append(f'<rect x="{LEFT}" y="{TOP}" width="{shallow:.1f}" height="{HEIGHT - TOP - BOTTOM}" fill="#f0f0ee"/>')
        parts.append(text(LEFT + 4, HEIGHT - BOTTOM - 6, f"first {skip}", GREY))
    for tenth in range(0, 11, 2):
        parts.append(line(LEFT, y(tenth / 10), WIDTH - RIGHT, y(tenth / 10), GRID))
        parts.append(text(LEFT - 6, y(tenth / 10) + 4, f"{tenth / 10:.1f}", GREY, anchor="end"))
    parts.append(line(LEFT, y(0.3), WIDTH - RIGHT, y(0.3), GREY, dash="4 3"))
    every = max(1, len(rows) // 12)
    for index in range(0, len(rows), every):
        parts.append(text(x(index), HEIGHT - BOTTOM + 14, str(index + 1), GREY, anchor="middle"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "layers in the order in which they run", GREY, anchor="middle"))

    at = LEFT
    for name, colour in KINDS.items():
        own = [(x(index), row) for index, row in enumerate(rows) if kind(row) == name]
        if not own:
            continue
        bars = "".join(f"M{place:.1f} {y(float(row['q1'])):.1f}V{y(float(row['q3'])):.1f}" for place, row in own)
        # A line of no length with round ends is a dot.
        dots = "".join(f"M{place:.1f} {y(float(row['median'])):.1f}h0" for place, row in own)
        parts.append(f'<path d="{bars}" stroke="{colour}" stroke-opacity="0.45" stroke-width="{min(step * 0.5, 6):.1f}"/>')
        parts.append(f'<path d="{dots}" stroke="{colour}" stroke-width="{min(step * 0.9, 7):.1f}" stroke-linecap="round"/>')
        parts.append(dot(at + 4, 40, colour))
        parts.append(text(at + 13, 44, name, INK))
        at += 24 + 5.6 * len(name)
    half = min(step * 0.45, 9)
    chance = "".join(f"M{x(index) - half:.1f} {y(float(row['chance_tau'])):.1f}h{2 * half:.1f}" for index, row in enumerate(rows))
    parts.append(f'<path d="{chance}" stroke="{INK}" stroke-width="1.5"/>')
    parts.append(line(at + 6, 40, at + 20, 40, INK, width=1.5))
    parts.append(text(at + 25, 44, "τ of chance=1%", INK))
    parts.append(line(at + 118, 40, at + 138, 40, GREY, dash="4 3"))
    parts.append(text(at + 143, 44, "τ = 0.3", INK))
    parts.append(text(16, TOP - 9, "greatest similarity of a kernel to another: median (dot) and quartiles (bar)", GREY))
    return document(WIDTH, HEIGHT, title, parts)
