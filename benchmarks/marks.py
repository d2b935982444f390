"""Text that programs write into a page, between two marks that stay."""


def between(page: str, marks: tuple[str, str], text: str) -> str:
    """Return the page with the text between its marks, whatever was there before."""
    before, rest = page.split(marks[0])
    return before + marks[0] + text + marks[1] + rest.split(marks[1])[1]
