"""What a browser calls itself, in words."""

import re

UNKNOWN = "Unknown browser"
LONGEST = 40

# in this order: most claim to be some of those that come after them
BROWSERS = (
    ("Edge", r"Edg(e|A|iOS)?/"),
    ("Opera", r"OPR/"),
    ("Samsung Internet", r"SamsungBrowser/"),
    ("Firefox", r"(Firefox|FxiOS)/"),
    ("Chrome", r"(Chrome|CriOS|Chromium|HeadlessChrome)/"),
    ("Safari", r"Version/.* Safari/"),
)
SYSTEMS = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("Windows", r"Windows"),
    ("ChromeOS", r"CrOS"),
    ("macOS", r"Macintosh"),
    ("Linux", r"Linux"),
)


def browser_called(user_agent: str) -> str:
    """Firefox on Linux; of a program that is no browser we know, the beginning of what it calls itself."""
    browser = next((name for name, pattern in BROWSERS if re.search(pattern, user_agent)), "")
    system = next((name for name, pattern in SYSTEMS if re.search(pattern, user_agent)), "")
    return " on ".join(filter(None, (browser, system))) or user_agent[:LONGEST].strip() or UNKNOWN
