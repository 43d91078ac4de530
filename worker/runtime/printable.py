"""Text that can't move the cursor or forge a line: ids are what some producer chose."""


def printable(text: str) -> str:
    """Escape what is no printable character, line breaks included, as Python's `repr` does."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def has_surrogates(text: str) -> bool:
    """Whether some of it stands for bytes that could not be decoded."""
    return any("\ud800" <= char <= "\udfff" for char in text)
