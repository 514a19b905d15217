"""Tables as Markdown, and pages that have them between marks."""

import re


def table(head, body):
    """Rows as Markdown."""
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in [head, ["---"] * len(head), *body])


def filled(page, made):
    """A page with each text between its marks, `<!-- begin NAME -->` and `<!-- end NAME -->`."""
    for name, text in made.items():
        mark = re.compile(f"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not mark.search(page):
            raise SystemExit(f"README.md has no place for the table {name}: <!-- begin {name} -->.")
        page = mark.sub(lambda found, text=text: f"{found[1]}\n{text}\n{found[2]}", page)
    return page
