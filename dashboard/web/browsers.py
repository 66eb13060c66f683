"""User-Agent strings in words."""

import re

UNKNOWN = "Unknown browser"
LONGEST = 40

# the order matters: most claim to be some of those that follow them
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
    """Firefox on Linux; for an unknown program, the start of its User-Agent."""
    browser = next((name for name, pattern in BROWSERS if re.search(pattern, user_agent)), "")
    system = next((name for name, pattern in SYSTEMS if re.search(pattern, user_agent)), "")
    return " on ".join(filter(None, (browser, system))) or user_agent[:LONGEST].strip() or UNKNOWN
