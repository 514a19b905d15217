"""Parts of figures as SVG, of text alone."""

GREY, INK, GRID = "#5d6673", "#1c2127", "#e3e5e4"
# These can be told apart by the colour-blind too (Okabe and Ito).
BLUE, ORANGE, VERMILION, GREEN, PURPLE = "#0072b2", "#e69f00", "#d55e00", "#009e73", "#7f3f98"


def document(width, height, title, parts):
    """The figure: its title above its parts, on white."""
    fonts = "Inter, Helvetica Neue, Arial, sans-serif"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="{fonts}" role="img" aria-label="{title}">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        text(16, 22, title, INK, size=14, weight=600),
    ]
    return "\n".join([*head, *parts]) + "\n</svg>\n"


def line(x1, y1, x2, y2, colour, width=1, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="{width}"{dashes}/>'


def dot(x, y, colour, width=7):
    # A line of no length with round ends.
    return f'<path d="M{x:.1f} {y:.1f}h0" stroke="{colour}" stroke-width="{width}" stroke-linecap="round"/>'


def text(x, y, words, colour, size=11, weight=400, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}">{words}</text>'
