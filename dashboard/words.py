"""How things are counted in words, wherever the words are read."""


def plural(count: int, one: str, many: str | None = None) -> str:
    """1 person, 1,185 people: the number with the right noun, with an s where `many` is not given."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
