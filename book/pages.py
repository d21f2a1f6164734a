"""Generated parts of the book: each function returns the Markdown for a marker of its name."""


def claims() -> str:
    """Every claim with its rule, what was measured, and the verdict, by scale."""
    return "Not generated yet."


def status() -> str:
    """Which results exist: profile, runs, hardware, when, failed runs."""
    return "Not generated yet."


def settings() -> str:
    """Every open choice with its tag, and the resolved settings of each profile."""
    return "Not generated yet."


def speed() -> str:
    """Ratios of the package's loops against plain ones."""
    return "Not generated yet."
